package demo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
)

func made(t *testing.T, dir string, recipients int) *World {
	t.Helper()
	w, err := Make(dir, recipients)
	if err != nil {
		t.Skipf("no room for the demo's servers: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// TestFilesAreRight: Penstock, the sink and the DNS server read what is made.
func TestFilesAreRight(t *testing.T) {
	t.Parallel()
	w := made(t, t.TempDir(), 200)
	if _, problems := config.Load(w.Path("penstock.yaml")); len(problems) > 0 {
		t.Errorf("penstock.yaml: %v", problems)
	}
	c, problems := campaign.Read(w.Path("campaign.yaml"))
	if len(problems) > 0 {
		t.Errorf("campaign.yaml: %v", problems)
	}
	if _, err := sink.LoadScript(w.Path("sink.yaml")); err != nil {
		t.Error(err)
	}
	rows, err := campaign.Open(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	loaded, rejected := 0, 0
	for {
		_, reject, err := rows.Next()
		if err != nil {
			break
		}
		if reject != nil {
			rejected++
			continue
		}
		loaded++
	}
	total := 0
	for _, s := range w.Sites {
		total += s.Recipients
	}
	// The double is found while loading.
	if loaded != total+1 || rejected != len(faults)-1 {
		t.Errorf("%d rows are right and %d are not, want %d and %d", loaded, rejected, total+1, len(faults)-1)
	}
	address, err := Greylisted(w.Dir)
	if err != nil || !strings.HasSuffix(address, "@grey.test") {
		t.Errorf("%q, %v", address, err)
	}
}

// TestEveryDomainHasAServer: each MX leads to an address that is listened on, but
// for those that are meant not to.
func TestEveryDomainHasAServer(t *testing.T) {
	t.Parallel()
	w := made(t, t.TempDir(), 20)
	ask := func(name string, kind uint16) *dns.Msg {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
		a, err := dns.Exchange(q, w.DNS())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, s := range w.Sites {
		for _, d := range s.Domains {
			a := ask(d, dns.TypeMX)
			switch d {
			case "nowhere.test":
				if a.Rcode != dns.RcodeNameError {
					t.Errorf("%s exists", d)
				}
				continue
			case "nomail.test":
				continue
			}
			reached := false
			for _, rr := range a.Answer {
				for _, rr := range ask(rr.(*dns.MX).Mx, dns.TypeA).Answer {
					reached = reached || slices.Contains(hosts, rr.(*dns.A).A.String())
				}
			}
			if !reached {
				t.Errorf("%s leads nowhere", d)
			}
		}
	}
}

func TestOnlyAnEarlierDemoIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo-data")
	w := made(t, dir, 20)
	left := w.Path("left-over")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made(t, dir, 20)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what an earlier demo left is still there: %v", err)
	}

	foreign := t.TempDir()
	mine := filepath.Join(foreign, "penstock.yaml")
	if err := os.WriteFile(mine, []byte("hostname: mine.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(foreign, 20); !errors.Is(err, ErrForeign) {
		t.Errorf("somebody's directory is taken: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}
