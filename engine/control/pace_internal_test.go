package control

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatienceIsLostInTimeAndNotAfterTheCall: it is lost when the time is over,
// begins anew when it is begun again, and never touches a call that has ended,
// however late the timer fires.
func TestPatienceIsLostInTimeAndNotAfterTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		p := newPatience(func() { lost++ })
		p.begin(time.Minute)
		time.Sleep(59 * time.Second)
		p.begin(time.Minute)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if lost != 0 {
			t.Error("lost though it was begun anew")
		}
		p.end()
		time.Sleep(time.Hour)
		p.begin(time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait()
		if lost != 1 {
			t.Errorf("lost %d times", lost)
		}
		p.begin(time.Minute)
		p.over()
		time.Sleep(time.Hour)
		p.lose() // as by a timer that had fired before
		if lost != 1 {
			t.Error("lost after the call")
		}
	})
}

func TestPatienceIsLostBesideTheEnd(t *testing.T) {
	t.Parallel()
	for range 200 {
		var ended atomic.Bool
		p := newPatience(func() {
			if ended.Load() {
				t.Error("lost after the call")
			}
		})
		var both sync.WaitGroup
		both.Go(p.lose)
		both.Go(func() { p.over(); ended.Store(true) })
		both.Wait()
	}
}
