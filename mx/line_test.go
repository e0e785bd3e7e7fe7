package mx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// oracle answers each UDP packet by what reply makes of the question, and keeps
// the ports that were asked from.
type oracle struct {
	addr string
	mu   sync.Mutex
	from map[string]int // questions by port
}

func newOracle(t *testing.T, reply func(q *dns.Msg) [][]byte) *oracle {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{addr: pc.LocalAddr().String(), from: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 4096)
		for {
			n, peer, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(b[:n]); err != nil {
				t.Errorf("a question that cannot be read: %v", err)
				continue
			}
			o.mu.Lock()
			o.from[peer.String()]++
			o.mu.Unlock()
			for _, packet := range reply(q) {
				_, _ = pc.WriteTo(packet, peer)
			}
		}
	})
	t.Cleanup(func() {
		_ = pc.Close()
		wg.Wait()
	})
	return o
}

func packed(t *testing.T, m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

func right(t *testing.T, q *dns.Msg) []byte {
	r := new(dns.Msg).SetReply(q)
	r.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{q.Question[0].Name}}}
	return packed(t, r)
}

func asking(t *testing.T, o *oracle, timeout time.Duration) *Resolver {
	t.Helper()
	r, err := NewResolver(Options{Servers: []string{o.addr}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestEachQuestionGetsItsAnswer: hundreds at once over shared sockets, whose ports
// change, with ids that cannot be told beforehand.
func TestEachQuestionGetsItsAnswer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := map[uint16]int{}
	o := newOracle(t, func(q *dns.Msg) [][]byte {
		mu.Lock()
		ids[q.Id]++
		mu.Unlock()
		return [][]byte{right(t, q)}
	})
	r := asking(t, o, 10*time.Second)
	const n = 10 * questionsPerLine
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("n%d.example", i)
			msg, err := r.exchange(context.Background(), name, dns.TypeTXT)
			if err != nil {
				t.Error(err)
			} else if got := msg.Answer[0].(*dns.TXT).Txt[0]; got != name+"." {
				t.Errorf("%s got the answer of %s", name, got)
			}
		})
	}
	wg.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	for port, asked := range o.from {
		if asked > questionsPerLine {
			t.Errorf("%d questions from %s", asked, port)
		}
	}
	if len(o.from) < n/questionsPerLine || len(ids) < n*9/10 {
		t.Errorf("%d ports and %d ids for %d questions", len(o.from), len(ids), n)
	}
}

// TestWhatIsNotTheAnswerIsSkipped: late and forged packets come before the right
// one.
func TestWhatIsNotTheAnswerIsSkipped(t *testing.T) {
	t.Parallel()
	o := newOracle(t, func(q *dns.Msg) [][]byte {
		good := right(t, q)
		change := func(f func(m *dns.Msg)) []byte {
			m := new(dns.Msg)
			if err := m.Unpack(good); err != nil {
				t.Error(err)
			}
			f(m)
			return packed(t, m)
		}
		return [][]byte{
			nil, {1}, good[:11], good[:20],
			change(func(m *dns.Msg) { m.Id++ }),
			change(func(m *dns.Msg) { m.Response = false }),
			change(func(m *dns.Msg) { m.Question[0].Name = "other.example." }),
			change(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }),
			change(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
			change(func(m *dns.Msg) { m.Question = nil }),
			change(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
			change(func(m *dns.Msg) { m.Question[0].Name = "N1.eXample." }), // the same name
		}
	})
	r := asking(t, o, 10*time.Second)
	msg, err := r.exchange(context.Background(), "n1.example", dns.TypeTXT)
	if err != nil || msg.Question[0].Name != "N1.eXample." {
		t.Errorf("got %v, %v", msg, err)
	}
}

func TestALineOfStraysIsGivenUp(t *testing.T) {
	t.Parallel()
	o := newOracle(t, func(q *dns.Msg) [][]byte {
		packets := make([][]byte, strayPackets+1)
		for i := range packets {
			packets[i] = binary.BigEndian.AppendUint16(nil, q.Id+1)
		}
		return packets
	})
	r := asking(t, o, 10*time.Second)
	if _, err := r.exchange(context.Background(), "n1.example", dns.TypeTXT); !errors.Is(err, errStray) {
		t.Errorf("got %v", err)
	}
}

func TestAnUnansweredQuestionMovesToAnotherPort(t *testing.T) {
	t.Parallel()
	o := newOracle(t, func(*dns.Msg) [][]byte { return nil })
	r := asking(t, o, 10*time.Millisecond)
	if _, err := r.exchange(context.Background(), "n1.example", dns.TypeTXT); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// The last question may still be on its way when it is given up.
	ports := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.from)
	}
	for end := time.Now().Add(10 * time.Second); ports() < rounds && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := ports(); n != rounds {
		t.Errorf("asked from %d ports, want %d", n, rounds)
	}
}

func TestAServerThatIsNotThereIsToldAtOnce(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = pc.Close()
	r := asking(t, &oracle{addr: pc.LocalAddr().String()}, time.Minute)
	done := make(chan error, 1)
	go func() {
		_, err := r.exchange(context.Background(), "n1.example", dns.TypeTXT)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("an answer from nobody")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the refusal was not heard")
	}
}

func TestCloseEndsAQuestionUnderWay(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	o := newOracle(t, func(*dns.Msg) [][]byte { asked <- struct{}{}; return nil })
	r := asking(t, o, time.Minute)
	done := make(chan error, 1)
	go func() { done <- r.Answers(context.Background()) }()
	<-asked
	r.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := r.Answers(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("a question after Close got %v", err)
	}
}

// FuzzAnsweredBy holds the comparison of packets against the one of messages.
func FuzzAnsweredBy(f *testing.F) {
	q := new(dns.Msg).SetQuestion("mx1.Example.", dns.TypeA)
	reply, err := new(dns.Msg).SetReply(q).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("mx1.example", uint16(dns.TypeA), reply)
	f.Add("mx2.example", uint16(dns.TypeA), reply)
	f.Add(".", uint16(dns.TypeNS), []byte{0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, name string, qtype uint16, packet []byte) {
		for _, edns := range []bool{true, false} {
			var q question
			if q.write(name, qtype, edns) != nil {
				return
			}
			sent := new(dns.Msg)
			if err := sent.Unpack(q.text); err != nil || len(sent.Question) != 1 || sent.Question[0].Qtype != qtype || (sent.IsEdns0() != nil) != edns || !sent.RecursionDesired {
				t.Fatalf("question for %q became %v (%v)", name, sent, err)
			}
			got := new(dns.Msg)
			if err := got.Unpack(packet); err != nil || !q.answeredBy(packet) {
				continue
			}
			if !got.Response || len(got.Question) != 1 || got.Question[0].Qtype != qtype ||
				got.Question[0].Qclass != dns.ClassINET || !sameName(got.Question[0].Name, sent.Question[0].Name) {
				t.Errorf("%v is no answer to %v", got, sent)
			}
		}
	})
}
