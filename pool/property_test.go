package pool

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// TestEveryPulledMessageIsSettledOnce: whatever servers do, every message pulled
// is settled exactly once for each time it was pulled, none is delivered twice
// without an uncertain attempt before, and all places are given back.
func TestEveryPulledMessageIsSettledOnce(t *testing.T) {
	t.Parallel()
	cfg := serverTLS(t, "mx")
	rapid.Check(t, func(rt *rapid.T) {
		caps := rapid.SampledFrom([][]string{nil, pipelining, chunking}).Draw(rt, "caps")
		secure := rapid.Bool().Draw(rt, "tls")
		share := rapid.IntRange(0, 30).Draw(rt, "percent of trouble")
		hosts := rapid.IntRange(1, 3).Draw(rt, "hosts")
		n := rapid.IntRange(1, 120).Draw(rt, "messages")
		seed := rapid.Int64().Draw(rt, "seed")
		limit := rapid.IntRange(0, 9).Draw(rt, "connections")
		perConn := rapid.IntRange(0, 20).Draw(rt, "messages per connection")
		interrupt := rapid.IntRange(0, 4).Draw(rt, "forced drain") == 0

		// rapid shrinks by running again: everything is this run's own.
		tb := &inner{TB: t}
		defer tb.cleanup()
		r := newRig(tb, func(o *Options) {
			o.RestFirst, o.RestMax = time.Millisecond, 2*time.Millisecond
			o.PerConnection = 5
			o.TLS = smtp.TLSOpportunistic
			o.Timeouts = smtp.DefaultTimeouts()
			o.Timeouts.End, o.Timeouts.Mail = 20*time.Millisecond, 20*time.Millisecond
			o.Timeouts.Rcpt, o.Timeouts.Data, o.Timeouts.Hello = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
			o.Timeouts.Greeting, o.Timeouts.Quit = 20*time.Millisecond, 20*time.Millisecond
		})
		r.gate.max, r.gate.perConn = limit, perConn
		rng := rand.New(rand.NewSource(seed))
		sc := script{caps: caps, reply: func(_ *peer, verb, line string) (answer string) {
			r.change(func() {
				if rng.Intn(100) >= share {
					return
				}
				answer = []string{"close", "hang", "421 bye", "450 later", "550 never", "250 fine", "garbage"}[rng.Intn(7)]
			})
			return answer
		}}
		if secure {
			sc.tls = cfg
		}
		var servers []*server
		for i := range hosts {
			servers = append(servers, newServer(r.board, fmt.Sprint("mx", i), sc))
		}
		q := newQueue(r.board, n)
		q.goBack, q.again = true, false
		r.lane(q, servers...)
		if interrupt {
			r.await("something was settled or failed", func() bool { return len(q.fates)+len(r.obs.failed)+len(r.obs.ends) > 0 })
			if err := r.pool.Close(); err != nil {
				rt.Fatal(err)
			}
		} else {
			q.allSettled(n)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if interrupt && (len(q.pulled) != 0 || len(q.fates)+len(q.ready) != n) {
			rt.Fatalf("%d out, %d settled and %d left of %d", len(q.pulled), len(q.fates), len(q.ready), n)
		}
		if q.twice != 0 {
			rt.Fatalf("%d messages settled more often than pulled", q.twice)
		}
		for m, outs := range q.fates {
			if len(outs) != 1 {
				rt.Fatalf("%s has %d fates", m.To, len(outs))
			}
			took := 0
			for _, s := range servers {
				took += s.rcpts[m.To]
			}
			switch outs[0].Fate {
			case smtp.Delivered:
				if took > 1 {
					rt.Fatalf("%s is delivered, and was taken %d times", m.To, took)
				}
			case smtp.Refused, smtp.NotAttempted:
				if took > 0 {
					rt.Fatalf("%s is %v with %v, and was taken %d times", m.To, outs[0].Fate, outs[0].Reply, took)
				}
			case smtp.Uncertain, smtp.FateUnset:
			}
		}
	})
}

// inner collects cleanups of one rapid run.
type inner struct {
	testing.TB
	undo []func()
}

func (i *inner) Cleanup(f func()) { i.undo = append(i.undo, f) }
func (i *inner) Helper()          {}

func (i *inner) cleanup() {
	for k := len(i.undo) - 1; k >= 0; k-- {
		i.undo[k]()
	}
}
