package stats

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteRead(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "stats.json")
	m := Begin()
	s := New("penstock", "abc")
	s.Recipients, s.Ledger.Syncs, s.Send = 7, 3, m.End()
	if err := s.Write(f); err != nil {
		t.Fatal(err)
	}
	got, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if *got != *s {
		t.Fatalf("read %+v, wrote %+v", got, s)
	}
}

func TestReadRefusesOthers(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "stats.json")
	for text, want := range map[string]string{"{}": "version 0", "{": "unexpected end"} {
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

var kept []byte

func TestMeterCountsAllocations(t *testing.T) {
	m := Begin()
	kept = make([]byte, 4<<20)
	if p := m.End(); p.AllocBytes < 4<<20 || p.Mallocs == 0 || p.Wall <= 0 {
		t.Errorf("%+v", p)
	}
}
