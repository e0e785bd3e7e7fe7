package pool

import "testing"

// TestEveryStepIsMeasured: in lock-step every reply is a wait of its own.
func TestEveryStepIsMeasured(t *testing.T) {
	t.Parallel()
	const n = 50
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: []string{"8BITMIME"}})
	q := newQueue(r.board, n)
	r.lane(q, srv)
	q.allSettled(n)
	// The lane closes its connections, and the last reply is measured behind
	// the event that it brought.
	r.await("all that was sent was measured", func() bool { return r.obs.waits[StepEnd] == n })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []Step{StepMail, StepRcpt, StepData} {
		if r.obs.waits[s] != n {
			t.Errorf("%d messages waited %d times for the reply to %v", n, r.obs.waits[s], s)
		}
	}
	for _, s := range []Step{StepDial, StepGreeting, StepHello} {
		if got := r.obs.waits[s]; got != srv.accepted {
			t.Errorf("%d connections waited %d times at %v", srv.accepted, got, s)
		}
	}
	for s := range NumSteps {
		if s.String() == "" {
			t.Errorf("step %d has no name", s)
		}
	}
}
