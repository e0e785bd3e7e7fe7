package control

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// serve has readers take what they can for a while, while the log grows at a
// rate, and gives how many events a second they were served.
func serve(t *testing.T, growth float64, readers int) (perSecond float64) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newShare(func() uint64 { return uint64(growth * time.Since(began).Seconds()) })
		const page, seconds = 1000, 20
		begin := func() bool { return time.Since(began) > time.Second } // the growth is known
		served := make(chan int, readers)
		for range readers {
			go func() {
				n := 0
				for time.Since(began) < (seconds+1)*time.Second {
					if err := s.yield(t.Context()); err != nil {
						t.Error(err)
					}
					s.spend(page, time.Now())
					time.Sleep(time.Millisecond) // what a page takes
					if begin() {
						n += page
					}
				}
				served <- n
			}()
		}
		for range readers {
			perSecond += float64(<-served) / seconds
		}
	})
	return perSecond
}

func TestReadersYieldWhileTheLogGrowsFast(t *testing.T) {
	t.Parallel()
	share := float64(busyShare * runtime.GOMAXPROCS(0))
	fast := float64(2 * busyGrowth * runtime.GOMAXPROCS(0))
	for _, readers := range []int{1, 10} {
		if got := serve(t, fast, readers); got < share*0.7 || got > share*1.3 {
			t.Errorf("%d readers beside fast growth: %.0f events a second, want about %.0f", readers, got, share)
		}
		if got, want := serve(t, fast/4, readers), 1e6*float64(readers); got < want*0.9 {
			t.Errorf("%d readers beside slow growth: %.0f events a second, want %.0f", readers, got, want)
		}
	}
}
