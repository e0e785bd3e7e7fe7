package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/bench/trial"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// steered is all that somebody changed and that must outlast the process, as
// words: what it is, and what it is set to.
type steered map[string]string

// set is a change of the model; an empty value takes the entry away.
func (s steered) set(key, value string) {
	if s[key] = value; value == "" {
		delete(s, key)
	}
}

// step is one change: how it is asked for, and what it does to the model.
type step struct {
	name  string
	ask   func(context.Context, *control.Client) error
	apply func(steered)
}

// TestKilledInEveryChange kills the process that serves while it is steered in
// every way there is, but for creating, copying and deleting, which have tests of
// their own. What was answered is there after the restart; the one change that was
// not is there as a whole or not at all.
func TestKilledInEveryChange(t *testing.T) {
	t.Parallel()
	kills := 12
	if os.Getenv("PENSTOCK_CRASH") != "" {
		kills = 200
	}
	n := seed(t)
	t.Logf("PENSTOCK_SEED=%d", n)
	r := rand.New(rand.NewPCG(n, 3))
	const campaigns, people = 30, 40
	p := trial.New(t)
	p.Write("penstock.yaml", "hostname: sender.test\nroutes: {\"*\": \"127.0.0.1:1\"}\nledger: {min_free: 0}\n")
	p.Write("body.txt", "Water finds its way.\n")
	p.People("people.csv", people, "a.test", "b.test")
	server := serve(t, p)
	for i := range campaigns {
		p.Write("c.yaml", fmt.Sprintf("id: c%d\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n", i))
		if r := p.Run("campaign", "create", "c.yaml", "--quiet"); r.Code != 0 {
			t.Fatalf("create: %v", r)
		}
	}
	model := observe(t, p, campaigns, people)
	done, lost, kept := map[string]int{}, 0, 0
	for range kills {
		life, cancel := context.WithTimeout(t.Context(), time.Duration(r.Int64N(int64(trial.Slower*60*time.Millisecond))))
		killed := make(chan struct{})
		context.AfterFunc(life, func() { server.Kill(); close(killed) })
		client := control.Dial(p.Data)
		var doubtful step
		for {
			s := choose(r, model, campaigns)
			if err := s.ask(t.Context(), client); err != nil {
				select {
				case <-life.Done():
				default:
					t.Fatalf("%s: %v", s.name, err)
				}
				doubtful = s
				break
			}
			s.apply(model)
			done[s.name]++
		}
		client.Close()
		<-killed
		cancel()
		server = serve(t, p)
		other := maps.Clone(model)
		doubtful.apply(other)
		got := observe(t, p, campaigns, people)
		// It answers while it takes up, one after the other, what is to be sent.
		for late := time.Now().Add(30 * time.Second); !maps.Equal(got, model) && !maps.Equal(got, other) && time.Now().Before(late); {
			got = observe(t, p, campaigns, people)
		}
		switch {
		case maps.Equal(got, model):
			lost++
		case maps.Equal(got, other):
			kept++
			model = other
		default:
			t.Fatalf("after %s was cut short:\n%v\nwant\n%v\nor\n%v", doubtful.name, got, model, other)
		}
	}
	server.Kill()
	p.Verify()
	t.Logf("answered %v; of what was cut short %d were there and %d were not", done, kept, lost)
}

// observe is what a server says of all that was changed.
func observe(t *testing.T, p *trial.Place, campaigns, people int) steered {
	t.Helper()
	c := control.Dial(p.Data)
	defer c.Close()
	ctx, s := t.Context(), steered{}
	pauses, err1 := c.ListPauses(ctx, &pb.ListPausesRequest{})
	tokens, err2 := c.ListTokens(ctx, &pb.ListTokensRequest{})
	list, err3 := c.ListCampaigns(ctx, &pb.ListCampaignsRequest{PageSize: 1000})
	source, err4 := c.GetSource(ctx, &pb.GetSourceRequest{Source: "default"})
	site, err5 := c.GetSite(ctx, &pb.GetSiteRequest{Site: "google"})
	if control.NotFound(err5) {
		err5 = nil // nobody set anything
	}
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatalf("observe: %v", err)
	}
	for _, h := range pauses.Pauses {
		s.set(holdKey(h.CampaignId, h.Site, h.Source, h.By), h.Reason)
	}
	for _, k := range tokens.Tokens {
		s.set("token "+k.Name, k.Role)
	}
	if l := source.Source.Limits; l != nil {
		s.set("source default", limitText(l.Connections, l.MessageRate))
	}
	if l := site.GetSite().GetLimits(); l != nil {
		s.set("site google", limitText(l.Connections, l.MessageRate))
	}
	if len(list.Campaigns) != campaigns {
		t.Fatalf("%d campaigns, want %d", len(list.Campaigns), campaigns)
	}
	for _, k := range list.Campaigns {
		if k.StartAt != nil {
			s.set("start of "+k.CampaignId, fmt.Sprint(k.StartAt.Seconds))
		}
		want := &pb.Counts{Loaded: uint64(people), Pending: uint64(people)}
		if k.State == "cancelled" {
			s.set("end of "+k.CampaignId, "cancelled")
			s.set("start of "+k.CampaignId, "")
			want.Pending, want.Cancelled = 0, uint64(people)
		}
		if n := k.Counts; n.Loaded != want.Loaded || n.Pending != want.Pending || n.Cancelled != want.Cancelled {
			t.Fatalf("campaign %s is %s with %v, want %v", k.CampaignId, k.State, n, want)
		}
	}
	return s
}

func holdKey(campaign, site, source, by string) string {
	return fmt.Sprintf("pause of campaign %q site %q source %q by %s", campaign, site, source, by)
}

func limitText(connections uint32, rate float64) string {
	if connections == 0 && rate == 0 {
		return ""
	}
	return fmt.Sprintf("%d connections, %v/s", connections, rate)
}

// choose draws a change that can be made.
func choose(r *rand.Rand, now steered, campaigns int) step {
	id := fmt.Sprintf("c%d", r.IntN(campaigns))
	by, why := fmt.Sprintf("p%d", r.IntN(2)), fmt.Sprintf("ticket %d", r.IntN(1000))
	_, ended := now["end of "+id]
	switch kind := r.IntN(20); {
	case kind < 4: // a campaign, whole or at a site
		site := []string{"", "google"}[r.IntN(2)]
		return hold(now, holdKey(id, site, "", by), why, func(ctx context.Context, c *control.Client) error {
			_, err := c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: id, Site: site, By: by, Reason: why})
			return err
		}, func(ctx context.Context, c *control.Client) error {
			_, err := c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: id, Site: site, By: by})
			return err
		})
	case kind < 6:
		return hold(now, holdKey("", "google", "", by), why, func(ctx context.Context, c *control.Client) error {
			_, err := c.PauseSite(ctx, &pb.PauseSiteRequest{Site: "google", By: by, Reason: why})
			return err
		}, func(ctx context.Context, c *control.Client) error {
			_, err := c.ResumeSite(ctx, &pb.ResumeSiteRequest{Site: "google", By: by})
			return err
		})
	case kind < 8:
		return hold(now, holdKey("", "", "default", by), why, func(ctx context.Context, c *control.Client) error {
			_, err := c.PauseSource(ctx, &pb.PauseSourceRequest{Source: "default", By: by, Reason: why})
			return err
		}, func(ctx context.Context, c *control.Client) error {
			_, err := c.ResumeSource(ctx, &pb.ResumeSourceRequest{Source: "default", By: by})
			return err
		})
	case kind < 10:
		return hold(now, holdKey("", "", "", by), why, func(ctx context.Context, c *control.Client) error {
			_, err := c.PauseAll(ctx, &pb.PauseAllRequest{By: by, Reason: why})
			return err
		}, func(ctx context.Context, c *control.Client) error {
			_, err := c.ResumeAll(ctx, &pb.ResumeAllRequest{By: by})
			return err
		})
	case kind < 12:
		most, rate := uint32(r.IntN(3)), float64(r.IntN(3))
		return step{"limits of a site", func(ctx context.Context, c *control.Client) error {
			_, err := c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: "google", Limits: &pb.SiteLimits{Connections: most, MessageRate: rate}})
			return err
		}, func(s steered) { s.set("site google", limitText(most, rate)) }}
	case kind < 14:
		most, rate := uint32(r.IntN(3)), float64(r.IntN(3))
		return step{"limits of a source", func(ctx context.Context, c *control.Client) error {
			_, err := c.SetSourceLimits(ctx, &pb.SetSourceLimitsRequest{Source: "default", Limits: &pb.SourceLimits{Connections: most, MessageRate: rate}})
			return err
		}, func(s steered) { s.set("source default", limitText(most, rate)) }}
	case kind < 17:
		name := fmt.Sprintf("t%d", r.IntN(4))
		if now["token "+name] != "" {
			return step{"revoke a token", func(ctx context.Context, c *control.Client) error {
				_, err := c.RevokeToken(ctx, &pb.RevokeTokenRequest{Name: name})
				return err
			}, func(s steered) { s.set("token "+name, "") }}
		}
		return step{"create a token", func(ctx context.Context, c *control.Client) error {
			_, err := c.CreateToken(ctx, &pb.CreateTokenRequest{Name: name, Role: "read"})
			return err
		}, func(s steered) { s.set("token "+name, "read") }}
	case kind < 19 && !ended:
		at := time.Now().Add(time.Duration(1000+r.IntN(1000)) * time.Hour).Truncate(time.Second)
		return step{"start at a time", func(ctx context.Context, c *control.Client) error {
			_, err := c.StartCampaign(ctx, &pb.StartCampaignRequest{CampaignId: id, At: timestamppb.New(at)})
			return err
		}, func(s steered) { s.set("start of "+id, fmt.Sprint(at.Unix())) }}
	default: // once more does nothing
		return step{"cancel", func(ctx context.Context, c *control.Client) error {
			_, err := c.CancelCampaign(ctx, &pb.CancelCampaignRequest{CampaignId: id})
			return err
		}, func(s steered) { s.set("start of "+id, ""); s.set("end of "+id, "cancelled") }}
	}
}

// hold is a pause, or its end where there is one.
func hold(now steered, key, why string, pause, resume func(context.Context, *control.Client) error) step {
	if _, is := now[key]; is {
		return step{"resume", resume, func(s steered) { s.set(key, "") }}
	}
	return step{"pause", pause, func(s steered) { s.set(key, why) }}
}

// String lists it in order.
func (s steered) String() string {
	text := ""
	for _, k := range slices.Sorted(maps.Keys(s)) {
		text += "  " + k + ": " + s[k] + "\n"
	}
	return text
}
