package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/trial"
)

// TestKilledWhileCopyingAndDeleting kills the process that serves while
// campaigns are copied and deleted: after each kill a copy is there with
// everybody or not at all, and so is what was being deleted.
func TestKilledWhileCopyingAndDeleting(t *testing.T) {
	kills := 6
	if os.Getenv("PENSTOCK_CRASH") != "" {
		kills = 60
	}
	const people = 20_000
	n := seed(t)
	t.Logf("PENSTOCK_SEED=%d", n)
	r := rand.New(rand.NewPCG(n, 2))
	p := trial.New(t)
	s, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.People("people.csv", people, "a.test", "b.test", "c.test")
	p.Write("body.txt", "Hello {{ first_name }},\n")
	p.Write("penstock.yaml", fmt.Sprintf("hostname: sender.test\nroutes: {\"*\": %q}\nledger: {min_free: 0}\n", s.Addrs()[0]))
	p.Write("campaign.yaml", "id: first\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n")
	if r := p.Run("send", "campaign.yaml", "--quiet"); r.Code != 0 {
		t.Fatalf("send: %v", r)
	}
	copies, whole, gone := 0, 0, 0
	for i := range kills {
		serving := p.Start("serve", "--quiet")
		answering(t, p)
		id := fmt.Sprintf("copy-%d", i)
		made := p.Start("campaign", "clone", "first", id, "--state", "delivered")
		// Sometimes it is done, and then deleted.
		if r.IntN(2) == 0 {
			if r := made.Wait(); r.Code != 0 {
				t.Fatalf("clone: %v", r)
			}
			if r := p.Run("campaign", "cancel", id); r.Code != 0 {
				t.Fatalf("cancel: %v", r)
			}
			made = p.Start("campaign", "delete", id)
		}
		<-time.After(time.Duration(r.Int64N(int64(trial.Slower * 200 * time.Millisecond))))
		if !serving.Kill() {
			t.Fatalf("it ended by itself: %v", serving.Wait())
		}
		made.Signal(syscall.SIGKILL)
		made.Wait()
		p.Verify()
		res := p.Run("campaign", "list", "--format", "json")
		var list struct {
			Campaigns []struct {
				ID     string `json:"campaign_id"`
				Counts struct{ Loaded string }
			}
		}
		if err := json.Unmarshal([]byte(res.Stdout), &list); err != nil {
			t.Fatalf("list: %v\n%v", err, res)
		}
		there := false
		for _, c := range list.Campaigns {
			if c.Counts.Loaded != fmt.Sprint(people) {
				t.Errorf("campaign %s has %s recipients, want %d", c.ID, c.Counts.Loaded, people)
			}
			there = there || c.ID == id
		}
		if there {
			whole++
			copies++
		} else {
			gone++
		}
		if len(list.Campaigns) != copies+1 {
			t.Fatalf("%d campaigns, want %d: %s", len(list.Campaigns), copies+1, res.Stdout)
		}
	}
	t.Logf("after %d kills %d were there, %d were not", kills, whole, gone)
}

// answering waits until the process that serves answers.
func answering(t *testing.T, p *trial.Place) {
	t.Helper()
	for late := time.Now().Add(time.Minute); ; {
		if r := p.Run("site", "list"); r.Code == 0 || strings.Contains(r.Stderr, "no site") {
			return
		} else if time.Now().After(late) {
			t.Fatalf("nobody answers: %v", r)
		}
	}
}
