package bench

import (
	"path/filepath"
	"testing"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
)

// TestGeneratedFilesAreValid: what the harness writes, Penstock reads without a
// complaint.
func TestGeneratedFilesAreValid(t *testing.T) {
	t.Parallel()
	all, err := Scenarios("*")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Signatures {
			continue
		}
		w, err := prepare(t.TempDir(), s.scaled(1e-9))
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := campaign.Read(w.campaign); problems.Err() != nil {
			t.Errorf("%s: %v", s.Name, problems)
		}
		file := filepath.Join(w.dir, "penstock.yaml")
		if err := writeYAML(file, s.configuration("127.0.0.1:2525", "2525", "127.0.0.1:53")); err != nil {
			t.Fatal(err)
		}
		c, problems := config.Load(file)
		if problems.Err() != nil {
			t.Errorf("%s: %v", s.Name, problems)
		} else if c.Limits.Default.Connections != s.Connections || s.Gear != c.SMTP.Gear {
			t.Errorf("%s: %+v", s.Name, c)
		}
	}
}
