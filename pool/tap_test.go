package pool

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// listener is a Tap that keeps what it hears, by connection.
type listener struct {
	mu    sync.Mutex
	lines map[uint64][]string // guarded by mu
	about map[uint64]Dialogue // guarded by mu
}

func (h *listener) Hear(d *Dialogue, l *smtp.Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := string(l.Text)
	if l.Kind == smtp.Carried {
		text = "(content)"
	}
	h.lines[d.Connection] = append(h.lines[d.Connection], map[smtp.LineKind]string{
		smtp.Said: "C: ", smtp.Heard: "S: ", smtp.Carried: "C: ", smtp.Noted: "* ",
	}[l.Kind]+text)
	h.about[d.Connection] = *d
}

// TestTapHearsWholeDialogues: from the connect to the close, in each gear, above
// TLS, in order and with nothing missing.
func TestTapHearsWholeDialogues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		caps    []string
		secured bool
		has     string
	}{
		{"pipelining", pipelining, false, "C: MAIL FROM:|C: RCPT TO:|C: DATA|S: 250|S: 250|S: 354|C: (content)|C: .|S: 250"},
		{"chunking", chunking, false, "C: MAIL FROM:|C: RCPT TO:|C: BDAT|C: (content)|S: 250|S: 250|S: 250"},
		{"chunking over TLS", chunking, true, "C: MAIL FROM:|C: RCPT TO:|C: BDAT|C: (content)|S: 250|S: 250|S: 250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, opportunistic)
			r.gate.max = 1
			h := &listener{lines: map[uint64][]string{}, about: map[uint64]Dialogue{}}
			r.pool.SetTap(h)
			sc := script{caps: c.caps}
			if c.secured {
				sc.tls = serverTLS(t, "mx")
			}
			srv := newServer(r.board, "mx", sc)
			q := newQueue(r.board, 1)
			r.lane(q, srv)
			q.allSettled(1)
			if err := r.pool.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(h.lines) != 1 {
				t.Fatalf("%d connections: %v", len(h.lines), h.lines)
			}
			for id, lines := range h.lines {
				d := h.about[id]
				if d.Site == "" || d.Host != "mx" || d.Addr == (netip.AddrPort{}) || (d.TLS != "") != c.secured {
					t.Errorf("dialogue: %+v", d)
				}
				all := strings.Join(lines, "\n")
				if lines[0] != "* connected" || lines[len(lines)-1] != "* closed" {
					t.Errorf("not from the connect to the close:\n%s", all)
				}
				if c.secured && (!slices.Contains(lines, "C: STARTTLS") || !slices.Contains(lines, "* secured: TLS1.3")) {
					t.Errorf("no handshake:\n%s", all)
				}
				at := 0
				for _, want := range strings.Split(c.has, "|") {
					for at < len(lines) && !strings.HasPrefix(lines[at], want) {
						at++
					}
					if at == len(lines) {
						t.Fatalf("no %q where it belongs:\n%s", want, all)
					}
					at++
				}
			}
		})
	}
}

// TestTapCanComeAndGo: connections take notice with their next event.
func TestTapCanComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 1
	h := &listener{lines: map[uint64][]string{}, about: map[uint64]Dialogue{}}
	srv := newServer(r.board, "mx", script{caps: chunking, reply: func(p *peer, verb, _ string) string {
		if verb == "END" && p.messages == 100 {
			r.pool.SetTap(h)
		}
		if verb == "END" && p.messages == 200 {
			r.pool.SetTap(nil)
		}
		return ""
	}})
	q := newQueue(r.board, 400)
	r.lane(q, srv)
	q.allSettled(400)
	h.mu.Lock()
	defer h.mu.Unlock()
	mails := 0
	for _, lines := range h.lines {
		for _, line := range lines {
			if strings.HasPrefix(line, "C: MAIL") {
				mails++
			}
		}
	}
	if mails < 50 || mails > 150 {
		t.Errorf("heard of %d messages of 400, want about the 100 between", mails)
	}
}
