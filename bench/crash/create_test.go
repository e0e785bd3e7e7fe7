package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/trial"
	"github.com/penstock-mail/penstock/engine/control"
)

// TestCreateKilledAtRandom: campaigns are handed to a process that serves, while
// either end is killed at random moments. Whatever is seen in between is nothing,
// something that is received or loaded, or the whole campaign; the same command
// leads to the end; and nothing was ever sent, as nobody said start.
func TestCreateKilledAtRandom(t *testing.T) {
	t.Parallel()
	const recipients = 60_000
	kills := 10
	if os.Getenv("PENSTOCK_CRASH") != "" {
		kills = 100
	}
	s := seed(t)
	t.Logf("PENSTOCK_SEED=%d", s)
	random := rand.New(rand.NewPCG(s, 0))
	p := trial.New(t)
	p.Write("penstock.yaml", "hostname: sender.test\nroutes: {\"*\": \"127.0.0.1:1\"}\nledger: {min_free: 0}\n")
	p.Write("body.txt", "Water finds its way.\n")
	p.People("people.csv", recipients, "a.test", "b.test", "c.test")
	n := 0 // of campaigns that came in
	id := func() string { return fmt.Sprint("c", n) }
	create := func() *trial.Process {
		p.Write(id()+".yaml", "id: "+id()+"\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n")
		return p.Start("campaign", "create", id()+".yaml", "--quiet")
	}
	whole := func(there bool) {
		t.Helper()
		r, ok := p.Report(id())
		if there && !ok || ok && (r.Counts.Rows != recipients || r.Counts.Pending != recipients) {
			t.Fatalf("%s is there in part, or not, or was sent: %+v", id(), r.Counts)
		}
	}
	var client *trial.Process
	server := serve(t, p)
	for killed := 0; killed < kills; {
		if client == nil {
			client = create()
		}
		life := time.NewTimer(time.Duration(random.Int64N(int64(250 * time.Millisecond))))
		select {
		case <-client.Done():
			life.Stop()
			if r := client.Wait(); r.Code != 0 {
				t.Fatalf("create: %v", r)
			}
			whole(true)
			n++
			client = nil
			continue
		case <-life.C:
		}
		killed++
		if random.IntN(3) == 0 {
			client.Kill()
			client = nil
		} else {
			server.Kill()
			server = serve(t, p)
		}
		whole(false)
	}
	if client != nil {
		client.Wait()
	}
	if r := create().Wait(); r.Code != 0 {
		t.Fatalf("create: %v", r)
	}
	whole(true)
	t.Logf("%d campaigns came in", n+1)
	server.Kill()
	p.Verify()
	if left, err := os.ReadDir(filepath.Join(p.Data, "intake")); err != nil || len(left) > 0 {
		names := make([]string, len(left))
		for i, e := range left {
			names[i] = e.Name()
		}
		t.Errorf("left of it: %s %v", strings.Join(names, " "), err)
	}
}

// serve starts a process that serves, and waits until it answers.
func serve(t *testing.T, p *trial.Place) *trial.Process {
	t.Helper()
	server := p.Start("serve", "--quiet")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); !control.Answers(t.Context(), p.Data); {
		select {
		case <-tick.C:
		case <-server.Done():
			t.Fatalf("serve: %v", server.Wait())
		case <-late:
			t.Fatal("serve never answers")
		}
	}
	return server
}
