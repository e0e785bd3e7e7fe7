package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/penstock-mail/penstock/"

// floors lists the rooms from top to bottom: a room imports only what stands
// below it. Longer paths are matched first.
var floors = []string{
	"cmd",
	"bench",
	"engine/control",
	"engine/intake",
	"engine",
	"engine/campaign",
	"engine/compose",
	"engine/ledger",
	"engine/bounce",
	"pool",
	"pool/smtp",
	"pool/wire",
	"mx",
	"throttle",
}

// owners are the only rooms that may import what they stand for.
var owners = map[string][]string{
	"github.com/cockroachdb/pebble/v2":   {"engine/ledger"},
	"github.com/panjf2000/gnet/v2":       {"pool/wire", "bench/sink"},
	"github.com/miekg/dns":               {"mx", "bench/nameserver"},
	"golang.org/x/time/rate":             {"throttle"},
	"github.com/spf13/cobra":             {"cmd"},
	"connectrpc.com/connect":             {"engine/control"},
	"google.golang.org/grpc":             {}, // tests speak it, and nothing else
	"connectrpc.com/grpchealth":          {"engine/control"},
	"connectrpc.com/grpcreflect":         {"engine/control"},
	"github.com/VictoriaMetrics/metrics": {"engine"},
}

// apart never import one another, nor anything under engine.
var siblings = []string{"mx", "throttle", "pool"}

type listed struct {
	ImportPath string
	Imports    []string
}

// TestRoomsImportDownwards holds the laws of docs/architecture.md against the
// code: no import runs up, siblings never meet, and each large library is
// imported in one room.
func TestRoomsImportDownwards(t *testing.T) {
	t.Parallel()
	for _, pkg := range packages(t) {
		from := strings.TrimPrefix(pkg.ImportPath, module)
		for _, path := range pkg.Imports {
			if fault := judge(from, path); fault != "" {
				t.Errorf("%s imports %s: %s", from, path, fault)
			}
		}
	}
}

// TestTheLawsCanBeBroken shows that judge knows a wrong import when it sees one.
func TestTheLawsCanBeBroken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, path string }{
		{"pool", module + "engine/ledger"},
		{"pool", module + "throttle"},
		{"mx", module + "pool/smtp"},
		{"engine/ledger", module + "engine/campaign"},
		{"engine", "github.com/cockroachdb/pebble/v2/vfs"},
		{"bench/sink", module + "pool/smtp"},
		{"pool/smtp", "net"},
	} {
		if judge(c.from, c.path) == "" {
			t.Errorf("%s may import %s, though the laws forbid it", c.from, c.path)
		}
	}
	if fault := judge("engine", module+"pool/smtp"); fault != "" {
		t.Errorf("engine may not import pool/smtp: %s", fault)
	}
}

func judge(from, path string) string {
	for library, rooms := range owners {
		if path != library && !strings.HasPrefix(path, library+"/") {
			continue
		}
		for _, room := range rooms {
			if within(from, room) {
				return ""
			}
		}
		return "belongs to " + strings.Join(rooms, ", ") + " alone"
	}
	if from == "pool/smtp" && (path == "net" || path == "os" || strings.HasPrefix(path, "crypto")) {
		return "the protocol has no I/O"
	}
	to, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	for _, a := range siblings {
		if !within(from, a) {
			continue
		}
		if within(to, "engine") {
			return "nothing below the engine may know of it"
		}
		for _, b := range siblings {
			if a != b && within(to, b) {
				return "siblings never import one another"
			}
		}
	}
	if within(from, "bench/sink") && !within(to, "bench") {
		return "the sink shares no code with what it tests"
	}
	if up, down := floor(from), floor(to); up >= 0 && down >= 0 && down < up {
		return "imports point down"
	}
	return ""
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// floor is the number of the longest room that path lies in; -1: none.
func floor(path string) int {
	best := -1
	for i, room := range floors {
		if within(path, room) && (best < 0 || len(room) > len(floors[best])) {
			best = i
		}
	}
	if path != "engine" && best >= 0 && floors[best] == "engine" {
		return -1 // a small package under engine that every floor may use
	}
	return best
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listed
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, pkg)
	}
}
