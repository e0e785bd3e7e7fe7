package control

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// stage is a campaign that is watched: ten attempts a second, half of them
// delivered.
type stage struct {
	began time.Time
	// mu guards what follows.
	mu    sync.Mutex
	looks int
	last  bool
	err   error
}

func (s *stage) look() (picture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	n := uint64(10 * time.Since(s.began).Seconds())
	return picture{message: &pb.WatchCampaignResponse{Campaign: &pb.Campaign{Rows: n}}, attempts: n, delivered: n / 2, last: s.last}, s.err
}

// ends has the campaign end, or no longer be seen.
func (s *stage) ends(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.err = err == nil, err
}

func TestWatchersShareTheirPictures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws, s := newWatches(), &stage{began: time.Now()}
		key := watchKey{1, time.Second}
		const many = 100
		leaves := make([]func(), many)
		all := make([]*watcher, many)
		for i := range many {
			var err error
			if all[i], leaves[i], err = ws.join(key, s.look); err != nil {
				t.Fatal(err)
			}
			if p := <-all[i].pictures; p.Campaign.Rows != 0 {
				t.Errorf("at once: %v", p)
			}
		}
		for n := range uint64(3) {
			time.Sleep(time.Second)
			synctest.Wait()
			for _, w := range all {
				p := <-w.pictures
				if p.Campaign.Rows != 10*(n+1) || p.AttemptsPerSecond != 10 || p.DeliveredPerSecond != 5 || p.SmoothedAttemptsPerSecond != 10 {
					t.Fatalf("after %d s: %v", n+1, p)
				}
			}
		}
		if s.looks != 4 {
			t.Errorf("%d looks for %d watchers in 3 s, want 4", s.looks, many)
		}
		// One who comes later sees the newest picture, and no new one is made.
		late, leave, err := ws.join(key, s.look)
		if err != nil || (<-late.pictures).Campaign.Rows != 30 || s.looks != 4 {
			t.Errorf("late: %v, %d looks", err, s.looks)
		}
		leave()
		for _, leave := range leaves {
			leave()
		}
		if len(ws.all) != 0 {
			t.Errorf("%d watches are left", len(ws.all))
		}
	})
}

func TestSlowWatcherIsLetGoAndOthersAreNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws, s := newWatches(), &stage{began: time.Now()}
		key := watchKey{1, time.Second}
		slow, leaveSlow, err := ws.join(key, s.look)
		if err != nil {
			t.Fatal(err)
		}
		quick, leaveQuick, err := ws.join(key, s.look)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			<-quick.pictures
			time.Sleep(time.Second)
			synctest.Wait()
		}
		n := 0
		for range slow.pictures {
			n++
		}
		if n != watcherRoom || connect.CodeOf(slow.err) != connect.CodeResourceExhausted {
			t.Errorf("the slow one got %d pictures, then %v", n, slow.err)
		}
		leaveSlow()
		// The end of the campaign is seen by those who are left.
		s.ends(nil)
		for range quick.pictures {
		}
		if quick.err != nil {
			t.Errorf("at the end: %v", quick.err)
		}
		leaveQuick()
		leaveQuick() // once more does nothing
	})
}

func TestWatchEndsWithWhatItCannotSee(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws, s := newWatches(), &stage{began: time.Now()}
		key := watchKey{1, time.Minute}
		w, leave, err := ws.join(key, s.look)
		if err != nil {
			t.Fatal(err)
		}
		gone := errors.New("it is gone")
		s.ends(gone)
		for range w.pictures {
		}
		if !errors.Is(w.err, gone) {
			t.Errorf("%v", w.err)
		}
		leave()
		if _, _, err := ws.join(key, s.look); !errors.Is(err, gone) || len(ws.all) != 0 {
			t.Errorf("join: %v", err)
		}
		// One that has ended is shown once.
		s.ends(nil)
		if w, leave, err = ws.join(key, s.look); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range w.pictures {
			n++
		}
		if leave(); n != 1 || w.err != nil {
			t.Errorf("%d pictures, %v", n, w.err)
		}
	})
}

func TestIntervalsAreBounded(t *testing.T) {
	t.Parallel()
	if d, err := intervalOf(0, false); err != nil || d != time.Second {
		t.Errorf("%v, %v", d, err)
	}
	for _, d := range []time.Duration{leastInterval, mostInterval} {
		if got, err := intervalOf(d, true); err != nil || got != d {
			t.Errorf("%v: %v, %v", d, got, err)
		}
	}
	for _, d := range []time.Duration{-1, 0, leastInterval - 1, mostInterval + 1} {
		if _, err := intervalOf(d, true); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", d, err)
		}
	}
}
