package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/bench/nameserver"
)

// thorough: every script in every gear.
var thorough = os.Getenv("PENSTOCK_PEERS") != ""

// TestNoDNS looks up names where nobody answers, or where every answer is that
// there is none: mail waits for that. A name that does not exist bounces.
func TestNoDNS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		bad    nameserver.Name
		states []string
		code   int
	}{
		{"SERVFAIL", nameserver.Name{Answer: "servfail"}, waiting, 3},
		{"REFUSED", nameserver.Name{Answer: "refused"}, waiting, 3},
		{"silence", nameserver.Name{Answer: "drop"}, waiting, 3},
		{"NXDOMAIN", nameserver.Name{Answer: "nxdomain"}, []string{"bounced"}, 0},
		{"null MX", nameserver.Name{MX: []string{"0 ."}}, []string{"bounced"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			resolver, err := nameserver.Start("", &nameserver.Zone{Names: map[string]nameserver.Name{"bad.test": c.bad}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resolver.Close() })
			s.configure("auto", fmt.Sprintf("routes: {good.test: %q}\ndns: {servers: [%q], timeout: 100ms}\n", s.serve(""), resolver.Addr()))
			s.send(c.code)
			s.only(s.outcome(), c.states...)
		})
	}
}

// closedPort is one of the loopback where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestNobodyListens has a route to a closed port, and resolvers that are not
// there.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"route":     "routes: {bad.test: %q, good.test: %q}\n",
		"resolvers": "dns: {servers: [%q], timeout: 100ms}\nroutes: {good.test: %q}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.configure("auto", fmt.Sprintf(bad, closedPort(t), s.serve("")))
			s.send(3)
			s.only(s.outcome(), waiting...)
		})
	}
}

// TestFewDescriptors allows fewer than there are connections wanted: what cannot
// be opened waits for what can.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.configure("lock-step", fmt.Sprintf("routes: {bad.test: %q, good.test: %q}\nlimits: {default: {connections: 500}}\n", s.serve("servers: [{latency: 20ms}]"), s.serve("")))
	text, err := os.ReadFile(filepath.Join(s.place.Dir, "penstock.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.place.Write("penstock.yaml", strings.Replace(string(text), "limits: {default: {connections: 4}}\n", "", 1))
	r := s.place.RunUnder([]string{"/bin/sh", "-c", `ulimit -n 40; exec "$@"`, "sh"}, "send", "campaign.yaml", "--quiet", "--for", "20s")
	if r.Code != 0 {
		t.Errorf("want exit code 0: %v", r)
	}
	s.only(s.outcome(), "delivered")
}

// TestDataDirectory names directories that cannot be written.
func TestDataDirectory(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"below a file": "people.csv/data", "a file": "people.csv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.configure("auto", fmt.Sprintf("routes: {\"*\": %q}\n", s.serve("")))
			s.place.Data = filepath.Join(s.place.Dir, path)
			r := s.place.Run("send", "campaign.yaml", "--quiet")
			if r.Code != 1 || !strings.Contains(r.Stderr, s.place.Data) {
				t.Errorf("want exit code 1 and the directory's name: %v", r)
			}
			if len(s.copies) != 0 {
				t.Errorf("%d messages went out", len(s.copies))
			}
		})
	}
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		s.configure("auto", fmt.Sprintf("routes: {\"*\": %q}\n", s.serve("")))
		s.place.Data = filepath.Join(s.place.Dir, "sealed", "data")
		if err := os.Mkdir(filepath.Dir(s.place.Data), 0o555); err != nil {
			t.Fatal(err)
		}
		if r := s.place.Run("send", "campaign.yaml", "--quiet"); r.Code != 1 {
			t.Errorf("want exit code 1: %v", r)
		}
	})
}

// disk mounts a small file system below the place and has data lie there.
func (s *stage) disk(size string) (dir string) {
	s.t.Helper()
	dir = filepath.Join(s.place.Dir, "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		s.t.Skipf("no file system of its own: %v: %s", err, out)
	}
	s.t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			s.t.Errorf("umount: %v: %s", err, out)
		}
	})
	s.place.Data = filepath.Join(dir, "data")
	return dir
}

// TestFullDisk leaves less room than a campaign takes: the process ends with
// what it acknowledged intact, at the start, while loading or while sending, and
// goes on once there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const size = 48 << 20
	for _, room := range []int{0, 256 << 10, 1 << 20} {
		t.Run(fmt.Sprint(room>>10, " KiB left"), func(t *testing.T) {
			t.Parallel()
			s := newStageFor(t, 10_000)
			disk := s.disk(fmt.Sprint(size))
			s.configure("auto", fmt.Sprintf("routes: {\"*\": %q}\n", s.serve("")))
			ballast := filepath.Join(disk, "ballast")
			if err := os.WriteFile(ballast, make([]byte, size-room), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.place.Run("send", "campaign.yaml", "--quiet")
			if r.Code != 1 || !strings.Contains(r.Stderr, "no space") {
				t.Errorf("want exit code 1 and the reason: %v", r)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.place.Data); err == nil && room > 0 {
				s.place.Verify()
			}
			if r := s.place.Run("send", "campaign.yaml", "--quiet", "--for", "20s"); r.Code != 0 && r.Code != 3 {
				t.Errorf("with room again: %v", r)
			}
			// Who was in flight is uncertain, and due again at once.
			s.only(s.outcome(), "delivered")
		})
	}
}

// TestLittleSpace has less free than ledger.min_free: nothing is sent, and that
// is said.
func TestLittleSpace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.disk("24m")
	s.configure("auto", fmt.Sprintf("routes: {\"*\": %q}\n", s.serve("")))
	text, err := os.ReadFile(filepath.Join(s.place.Dir, "penstock.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.place.Write("penstock.yaml", strings.Replace(string(text), "min_free: 0", "min_free: 1GB", 1))
	r := s.place.Run("send", "campaign.yaml", "--quiet", "--for", "1s")
	if (r.Code != 3 && r.Code != 1) || !strings.Contains(r.Stderr, "free space") {
		t.Errorf("want it to stop, and to say why: %v", r)
	}
	if len(s.copies) != 0 {
		t.Errorf("%d messages went out", len(s.copies))
	}
}
