package mx

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzAnswers feeds whatever a server may send into the reading of answers:
// nothing but an error or a sane result may come of it.
func FuzzAnswers(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("a.example.", dns.TypeMX)
	for _, rr := range []string{"a.example. 5 IN MX 10 b.example.", "a.example. 5 IN CNAME a.example.", "a.example. 5 IN MX 0 ."} {
		m := new(dns.Msg)
		m.SetReply(q)
		record, err := dns.NewRR(rr)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = []dns.RR{record}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		mine, theirs := net.Pipe()
		defer mine.Close()
		go func() {
			defer theirs.Close()
			c := &dns.Conn{Conn: theirs}
			m, err := c.ReadMsg()
			if err != nil {
				return
			}
			if len(packet) > 1 {
				packet[0], packet[1] = byte(m.Id>>8), byte(m.Id)
			}
			c.Write(packet)
		}()
		msg, err := talk(context.Background(), &dns.Conn{Conn: mine}, q, time.Second)
		if err != nil {
			return
		}
		targets, _ := mailTargets(msg.Answer)
		for _, target := range targets {
			if _, ok := canonicalName(target.name); !ok {
				t.Fatalf("target %q", target.name)
			}
		}
		negativeTTL(msg)
		aliasOf(msg.Answer, "a.example")
	})
}
