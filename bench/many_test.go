package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/campaign"
)

// TestRowsAreDealtToCampaigns: each row is in one campaign, and those have ids and
// files of their own.
func TestRowsAreDealtToCampaigns(t *testing.T) {
	t.Parallel()
	s, err := ParseScenario("many.yaml", []byte("recipients: 10\ncampaigns: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := prepare(t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	ids, rows := map[string]bool{}, map[string]int{}
	for _, file := range w.campaigns {
		c, problems := campaign.Read(file)
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		ids[c.ID] = true
		text, err := os.ReadFile(filepath.Join(w.dir, filepath.Base(c.Recipients[0].Name)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			rows[strings.TrimSpace(strings.Split(string(line), "@")[0])]++
		}
	}
	if len(ids) != 3 {
		t.Errorf("ids %v", ids)
	}
	for n := range 10 {
		if got := rows["u"+strconv.Itoa(n)]; got != 1 {
			t.Errorf("row %d is in %d campaigns", n, got)
		}
	}
	for _, text := range []string{"recipients: 10\ncampaigns: 11\n", "recipients: 10\ncampaigns: 2\nstream: true\n", "recipients: 10\ncampaigns: -1\n", "recipients: 1\nload_only: true\nstream: true\n"} {
		if _, err := ParseScenario("many.yaml", []byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	if _, err := many(&Program{Name: "other"}, []string{"other", "a"}, w.campaigns, &Command{}); err == nil {
		t.Error("another sender was given several campaigns")
	}
}
