package mx

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestAnswersTellsWhetherDNSWorks(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	r, _ := resolver(t, func(o *Options) { o.Timeout = 50 * time.Millisecond }, s)
	if err := r.Answers(t.Context()); err != nil {
		t.Errorf("a server that answers: %v", err)
	}
	s.set(func() { s.rcodes["."] = dns.RcodeServerFailure })
	if err := r.Answers(t.Context()); err == nil {
		t.Error("a server that fails answers")
	}
	s.set(func() { delete(s.rcodes, "."); s.dead = true })
	if err := r.Answers(t.Context()); err == nil {
		t.Error("a server that is silent answers")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Answers(ctx); err == nil {
		t.Error("it answers to nobody")
	}
}
