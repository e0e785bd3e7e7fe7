package pool

import "testing"

// TestQuitGoesOutWithTheLastMessages: three rounds after EHLO for five messages,
// of which the last has QUIT behind it.
func TestQuitGoesOutWithTheLastMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 5)
	q.change(func() { q.last = true })
	r.lane(q, srv)
	q.allSettled(5)
	r.await("the connection is closed", func() bool { return len(r.obs.ends) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.quits != 1 || srv.quitsAhead != 1 {
		t.Errorf("%d QUITs, %d of them behind a message that was not answered", srv.quits, srv.quitsAhead)
	}
}
