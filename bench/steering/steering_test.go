package steering

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/trial"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func TestMain(m *testing.M) { trial.Main(m) }

// full: the sizes that the figures are from, and their targets.
var full = os.Getenv("PENSTOCK_STEERING") != ""

// politely is how long to wait between questions whose answers cost the process
// as much as what it is doing.
var politely = time.Duration(size(20, 2000)) * time.Millisecond

// size is one of two.
func size(small, large int) int {
	if full {
		return large
	}
	return small
}

// target fails a full run that missed its figure.
func target(t *testing.T, what string, got, most time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, got.Round(time.Microsecond))
	if full && got > most {
		t.Errorf("%s: %v, at most %v is the target", what, got, most)
	}
}

// station is a process that serves, a server that receives, and a client.
type station struct {
	*testing.T
	*trial.Place
	process *trial.Process
	client  *control.Client
	arrived atomic.Int64
	// byCampaign counts what arrived by the campaign that sent it.
	mu         sync.Mutex
	byCampaign map[string]int
}

// newStation starts a receiver with this script, to which sites domains
// d0.test and so on lead, each a site of its own.
func newStation(t *testing.T, sites int, script, settings string) *station {
	t.Helper()
	s := &station{T: t, Place: trial.New(t), byCampaign: map[string]int{}}
	parsed, err := sink.ParseScript("script", []byte("servers:\n  - "+script+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := sink.Start(sink.Options{Listen: []string{"0.0.0.0:0"}, LocalOnly: true, Script: parsed, Accept: s.accept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(server.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	config.WriteString("hostname: sender.test\nledger: {min_free: 0B}\n" + settings + "\nroutes:\n")
	for i := range sites {
		fmt.Fprintf(&config, "  d%d.test: 127.%d.%d.%d:%s\n", i, 1+i>>16, i>>8&255, i&255, port)
	}
	s.Write("penstock.yaml", config.String())
	s.Write("body.txt", "Hello {{ first_name }},\n\nwater finds its way.\n")
	return s
}

// accept counts a message by the local part of its sender.
func (s *station) accept(m *sink.Message) {
	s.arrived.Add(1)
	from, _, _ := strings.Cut(string(m.From), "@")
	s.mu.Lock()
	s.byCampaign[from]++
	s.mu.Unlock()
}

// campaign writes one for people.
func (s *station) campaign(id, people, more string) string {
	s.Write(id+".yaml", fmt.Sprintf("id: %s\nfrom: news@sender.test\nenvelope_from: %s@sender.test\nsubject: News\ntext: body.txt\nlist_unsubscribe: {mailto: unsubscribe@sender.test}\nrecipients: %s\n%s\n", id, id, people, more))
	return id + ".yaml"
}

// serve starts the process and waits until it answers.
func (s *station) serve(campaigns ...string) {
	s.Helper()
	s.process = s.Start(append([]string{"serve", "--quiet", "--config", "penstock.yaml"}, campaigns...)...)
	s.client = control.Dial(s.Data)
	s.Cleanup(s.client.Close)
	s.await("it answers", func() bool {
		_, err := s.client.ListCampaigns(context.Background(), &pb.ListCampaignsRequest{})
		return err == nil
	})
}

// stop ends the process in order.
func (s *station) stop() {
	s.Helper()
	s.process.Signal(syscall.SIGINT)
	if r := s.process.Wait(); r.Code != 0 {
		s.Fatal(r)
	}
}

// await asks until ok, or the process has ended.
func (s *station) await(what string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Duration(size(1, 15)) * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-s.process.Done():
			s.Fatalf("waiting until %s: %v", what, s.process.Wait())
		case <-late:
			s.process.Kill()
			s.Fatalf("timed out waiting until %s: %v", what, s.process.Wait())
		}
	}
}

// campaigns is how all stand.
func (s *station) campaigns() []*pb.Campaign {
	s.Helper()
	res, err := s.client.ListCampaigns(s.Context(), &pb.ListCampaignsRequest{PageSize: 1000})
	if err != nil {
		s.Fatal(err)
	}
	return res.Campaigns
}

// all reports whether all campaigns are in that state.
func (s *station) all(state string) bool {
	for _, c := range s.campaigns() {
		if c.State != state {
			return false
		}
	}
	return true
}

// quiet waits until nothing has arrived for a while.
func (s *station) quiet() {
	s.Helper()
	last, since := s.arrived.Load(), time.Now()
	s.await("nothing arrives any more", func() bool {
		if n := s.arrived.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
}

// lastBegun is when the last message began of what a campaign recorded since
// then.
func (s *station) lastBegun(id string, since time.Time) (last time.Time) {
	s.Helper()
	stream, err := s.client.ListOutcomes(s.Context(), &pb.ListOutcomesRequest{CampaignId: id, From: timestamppb.New(since.Add(-time.Second))})
	if err != nil {
		s.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		for _, o := range stream.Msg().Outcomes {
			if o.Last != nil && o.Last.Number > 0 {
				if began := o.Last.Time.AsTime().Add(-o.Last.Took.AsDuration()); began.After(last) {
					last = began
				}
			}
		}
	}
	if err := stream.Err(); err != nil {
		s.Fatal(err)
	}
	return last
}

// TestPauseIsObeyedAtOnce: with connections to many sites, all at work, the last
// message begins within 100 ms of the call.
func TestPauseIsObeyedAtOnce(t *testing.T) {
	sites := size(20, 250)
	s := newStation(t, sites, "think: 20ms", "limits: {default: {connections: 20}}")
	s.People("people.csv", size(20_000, 600_000), names(sites)...)
	s.serve(s.campaign("c", "people.csv", ""))
	connections := 0
	s.await("all connections are open", func() bool {
		res, err := s.client.ListSites(s.Context(), &pb.ListSitesRequest{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		connections = 0
		for _, site := range res.Sites {
			connections += int(site.Connections)
		}
		return connections >= sites*20 || s.arrived.Load() > int64(size(5_000, 250_000))
	})
	before, began := s.arrived.Load(), time.Now()
	if _, err := s.client.PauseAll(s.Context(), &pb.PauseAllRequest{By: "test"}); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(began)
	s.quiet()
	t.Logf("%d connections; answered after %v; %d messages arrived after the call", connections, answered, s.arrived.Load()-before)
	last := s.lastBegun("c", began)
	target(t, "last message began after the call", last.Sub(began), 100*time.Millisecond)
	if late := last.Sub(began.Add(answered)); late > 20*time.Millisecond {
		t.Errorf("a message began %v after the answer", late)
	}
	frozen := s.arrived.Load()
	if _, err := s.client.ResumeAll(s.Context(), &pb.ResumeAllRequest{By: "test"}); err != nil {
		t.Fatal(err)
	}
	s.await("it goes on", func() bool { return s.arrived.Load() > frozen })
	if !full {
		s.await("all is sent", func() bool { return s.all("finished") })
	}
	s.stop()
	s.Verify()
}

// TestCancelOfMillionsIsObeyedAtOnce: however many are pending, nothing more
// begins 100 ms after the call.
func TestCancelOfMillionsIsObeyedAtOnce(t *testing.T) {
	sites := 50
	people := size(50_000, 10_000_000)
	s := newStation(t, sites, "think: 20ms", "limits: {default: {connections: 20}}")
	s.People("people.csv", people, names(sites)...)
	s.serve(s.campaign("c", "people.csv", ""))
	s.await("it sends", func() bool { return s.arrived.Load() > 2000 })
	began := time.Now()
	if _, err := s.client.CancelCampaign(s.Context(), &pb.CancelCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	t.Logf("answered after %v", time.Since(began))
	s.quiet()
	target(t, "last message began after the call", s.lastBegun("c", began).Sub(began), 100*time.Millisecond)
	c := s.campaigns()[0]
	if n := c.Counts; c.State != "cancelled" || n.Delivered != uint64(s.arrived.Load()) || n.Delivered+n.Cancelled != uint64(people) {
		t.Errorf("%s: %v, %d arrived", c.State, n, s.arrived.Load())
	}
	s.stop()
	s.Verify()
}

// TestIdleCostsNothing: a hundred paused campaigns with a million deferred
// recipients take less than a hundredth of a processor; after a kill, those that
// are not paused go on within seconds.
func TestIdleCostsNothing(t *testing.T) {
	const sites = 50
	campaigns, each := size(10, 100), size(100, 10_000)
	s := newStation(t, sites, `rules: [{at: rcpt, reply: "451 4.2.1 mailbox busy"}]`, "retry: {first: 1h, max: 1h}")
	s.People("people.csv", each, names(sites)...)
	var files []string
	for i := range campaigns {
		files = append(files, s.campaign(fmt.Sprintf("c%d", i), "people.csv", ""))
	}
	s.serve(files...)
	deferred := func() (n int) {
		for _, c := range s.campaigns() {
			n += int(c.Counts.Deferred)
		}
		return n
	}
	s.await("all are deferred", func() bool {
		time.Sleep(politely)
		return deferred() == campaigns*each
	})
	t.Logf("memory with %d campaigns and %d deferred: %d MB", campaigns, campaigns*each, s.process.Resident()>>20)
	for i := range campaigns {
		if _, err := s.client.PauseCampaign(s.Context(), &pb.PauseCampaignRequest{CampaignId: fmt.Sprint("c", i), By: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	s.measureIdle("paused while it runs")
	s.process.Kill()
	s.serve()
	t.Logf("memory after a restart, paused: %d MB", s.process.Resident()>>20)
	s.measureIdle("paused since the start")
	if n := deferred(); n != campaigns*each {
		t.Errorf("%d are deferred, want %d", n, campaigns*each)
	}
	s.stop()
	s.Verify()
}

// measureIdle has the processor time of half a minute, less in small.
func (s *station) measureIdle(when string) {
	s.Helper()
	before, took := s.process.CPU(), time.Duration(size(1, 30))*time.Second
	time.Sleep(took)
	used := s.process.CPU() - before
	s.Logf("%s: %.2f %% of a processor", when, 100*used.Seconds()/took.Seconds())
	if full && used > took/100 {
		s.Errorf("%s: %v of processor time in %v, at most a hundredth is the target", when, used, took)
	}
}

// TestAllGoOnAfterAKill: a hundred campaigns that were being sent go on by
// themselves within seconds.
func TestAllGoOnAfterAKill(t *testing.T) {
	const sites = 50
	campaigns, each := size(10, 100), size(1000, 20_000)
	s := newStation(t, sites, "think: 20ms", "limits: {default: {connections: 2}}")
	s.People("people.csv", each, names(sites)...)
	var files []string
	for i := range campaigns {
		files = append(files, s.campaign(fmt.Sprintf("c%d", i), "people.csv", ""))
	}
	s.serve(files...)
	s.await("all send", func() bool { return s.sending() == campaigns })
	s.process.Kill()
	s.mu.Lock()
	clear(s.byCampaign)
	s.mu.Unlock()
	began := time.Now()
	s.serve()
	answered := time.Since(began)
	s.await("all send again", func() bool { return s.goOn() })
	t.Logf("it answers after %v", answered)
	target(t, "every campaign goes on after", time.Since(began), 5*time.Second)
	if !full {
		s.await("all is sent", func() bool { return s.all("finished") })
	}
	s.stop()
	s.Verify()
}

// goOn reports whether of each campaign that is not finished something arrived.
func (s *station) goOn() bool {
	if s.sending() == 0 {
		return false
	}
	for _, c := range s.campaigns() {
		s.mu.Lock()
		n := s.byCampaign[c.CampaignId]
		s.mu.Unlock()
		if n == 0 && c.State != "finished" {
			return false
		}
	}
	return true
}

// sending is of how many campaigns something arrived.
func (s *station) sending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byCampaign)
}

// TestManyCampaignsOverManySites: campaigns of two weights, each at half of the
// sites, that all begin at once all end, and nobody is lost or sent to twice. How
// the weights show is printed: with a recipient or two for each campaign at a
// site there is little to share. What is promised is tested in engine.
func TestManyCampaignsOverManySites(t *testing.T) {
	campaigns, sites, each := size(10, 200), size(20, 10_000), size(1000, 2000)
	s := newStation(t, sites, "name: mx.test", "limits: {default: {connections: 1}}")
	for half := range 2 {
		domains := names(sites)[half*sites/2 : (half+1)*sites/2]
		s.People(fmt.Sprintf("people%d.csv", half), each, domains...)
	}
	var files []string
	for i := range campaigns {
		weight := []int{100, 300}[i/2%2]
		files = append(files, s.campaign(fmt.Sprintf("w%d-%d", weight, i), fmt.Sprintf("people%d.csv", i%2), fmt.Sprintf("weight: %d", weight)))
	}
	s.serve()
	if _, err := s.client.PauseAll(t.Context(), &pb.PauseAllRequest{By: "test"}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.serve(files...)
	s.await("all are loaded", func() bool {
		time.Sleep(politely) // counting costs what it measures
		return len(s.campaigns()) == campaigns && s.all("paused")
	})
	t.Logf("memory with %d campaigns loaded and paused: %d MB", campaigns, s.process.Resident()>>20)
	began := time.Now()
	if _, err := s.client.ResumeAll(t.Context(), &pb.ResumeAllRequest{By: "test"}); err != nil {
		t.Fatal(err)
	}
	s.await("a third has arrived", func() bool { return s.arrived.Load() > int64(campaigns*each/3) })
	by := map[string]int{}
	s.mu.Lock()
	for id, n := range s.byCampaign {
		weight, _, _ := strings.Cut(id, "-")
		by[weight] += n
	}
	s.mu.Unlock()
	ratio := float64(by["w300"]) / float64(max(1, by["w100"]))
	t.Logf("a third on the way, three times the weight has %.2f times as much; memory %d MB", ratio, s.process.Resident()>>20)
	s.await("all is sent", func() bool {
		time.Sleep(politely)
		return s.all("finished")
	})
	t.Logf("%d messages to %d sites took %v", campaigns*each, sites, time.Since(began).Round(time.Second))
	for _, c := range s.campaigns() {
		if c.Counts.Delivered != uint64(each) {
			t.Errorf("%s: %v", c.CampaignId, c.Counts)
		}
	}
	if n := s.arrived.Load(); n != int64(campaigns*each) {
		t.Errorf("%d arrived, want %d", n, campaigns*each)
	}
	s.stop()
	s.Verify()
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("d%d.test", i)
	}
	return all
}
