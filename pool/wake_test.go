package pool

import (
	"math/rand"
	"sync"
	"testing"
	"time"
)

// TestNoWakeIsLost: messages come in ones and twos from several goroutines, while
// connections idle out, are evicted and reach their limit. A message that nobody
// was woken for would never be settled.
func TestNoWakeIsLost(t *testing.T) {
	t.Parallel()
	for _, caps := range [][]string{nil, pipelining, chunking} {
		for _, idle := range []time.Duration{time.Nanosecond, time.Millisecond, time.Minute} {
			r := newRig(t, func(o *Options) {
				o.IdleTimeout = idle
				o.PerConnection = 2
			})
			r.gate.max, r.gate.perConn = 3, 20
			srv := newServer(r.board, "mx", script{caps: caps})
			const lanes, producers, each = 4, 3, 40
			var queues []*fakeQueue
			var wg sync.WaitGroup
			for i := range lanes {
				q := newQueue(r.board, 0)
				l := r.lane(q, srv)
				queues = append(queues, q)
				for j := range producers {
					rng := rand.New(rand.NewSource(int64(i*producers + j)))
					wg.Go(func() {
						for left := each; left > 0; {
							n := min(1+rng.Intn(3), left)
							q.add(n)
							l.Wake()
							left -= n
						}
					})
				}
			}
			wg.Wait()
			for _, q := range queues {
				q.await("all are settled", func() bool { return len(q.ready) == 0 && len(q.pulled) == 0 && len(q.fates) == producers*each })
			}
			if err := r.pool.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
