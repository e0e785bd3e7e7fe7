package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadyUntilItDrains(t *testing.T) {
	w := newWorld(t, "routes: {\"*\": \"127.0.0.1:9\"}\n")
	e := w.open()
	if err := e.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	e.lowSpace(true)
	if err := e.Ready(t.Context()); err != ErrHolding {
		t.Errorf("too little space: %v", err)
	}
	e.lowSpace(false)
	if err := e.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	w.close()
	if err := e.Ready(t.Context()); err != ErrDraining {
		t.Errorf("drained: %v", err)
	}
}

// TestSilentResolversAreNotReady: they are asked once for all who want to know,
// and anew after a while.
func TestSilentResolversAreNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n names
		asked := 0
		silent := func(ctx context.Context) error {
			asked++
			<-ctx.Done()
			return context.Cause(ctx)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 5 {
			if err := n.check(gone, silent); err == nil || !strings.Contains(err.Error(), "no resolver answers: no answer in time") {
				t.Fatalf("silence: %v", err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times within a moment", asked)
		}
		time.Sleep(namesAge)
		if err := n.check(t.Context(), func(context.Context) error { asked++; return nil }); err != nil || asked != 2 {
			t.Errorf("they answer again: %v, asked %d times", err, asked)
		}
		if err := n.check(t.Context(), func(context.Context) error { return errors.New("no") }); err != nil {
			t.Errorf("what was true a moment ago: %v", err)
		}
	})
}
