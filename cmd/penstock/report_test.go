package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what is printed into the golden files; read the difference before you keep it")

// TestReports: each testdata/report/*.json is printed as the .txt beside it.
func TestReports(t *testing.T) {
	t.Setenv("TZ", "UTC")
	files, err := filepath.Glob("testdata/report/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no reports: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := printReport(&b, text, "table"); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		golden := strings.TrimSuffix(file, ".json") + ".txt"
		if *rewrite {
			if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s prints:\n%s\nwant:\n%s", file, b.String(), want)
		}
	}
}

func TestReportThatIsNone(t *testing.T) {
	t.Parallel()
	if err := printReport(&strings.Builder{}, []byte(`{"id":`), "table"); err == nil {
		t.Error("half a report is printed")
	}
}
