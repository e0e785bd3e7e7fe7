package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/throttle"
)

// TestMaxRateIsExactSmoothAndFair: over a minute, at whatever number of sites,
// as many begin as max_rate says, evenly in time and over the sites, though what
// is allowed is often not taken up: domains are small.
func TestMaxRateIsExactSmoothAndFair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		perSecond float64
		sites     int
	}{{0.5, 3}, {10, 1}, {40, 7}, {500, 100}, {500, 500}, {20_000, 50}} {
		t.Run(fmt.Sprintf("%v per second at %d sites", c.perSecond, c.sites), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &Engine{now: time.Now, work: newTurns[*lane]()}
				r := &Run{engine: e, paced: newPaced(throttle.Rate{Count: c.perSecond, Per: time.Second}, time.Now)}
				defer r.paced.stop()
				flows, got := make([]*flow, c.sites), make([]int, c.sites)
				for i := range flows {
					l := &lane{engine: e, site: &site{shares: share.New[*Run](batchSize)}}
					flows[i] = &flow{run: r, lane: l, listed: true}
				}
				random := rand.New(rand.NewPCG(1, 2))
				const lasts = 60
				total, second, most := 0, 0, 0
				for ms := range lasts * 200 {
					for i, f := range flows {
						if !f.hungry() {
							continue
						}
						f.lane.mu.Lock()
						n := f.pace(batchSize)
						taken := min(n, 1+random.IntN(5))
						f.unpaced(n - taken)
						f.lane.mu.Unlock()
						got[i] += taken
						total += taken
						second += taken
					}
					if ms%200 == 199 {
						most, second = max(most, second), 0
					}
					time.Sleep(5 * time.Millisecond)
				}
				want := c.perSecond * lasts
				if off := math.Abs(float64(total)-want) / want; off > 0.02 && math.Abs(float64(total)-want) > 3 {
					t.Errorf("%d began in a minute, want %.0f", total, want)
				}
				if float64(most) > c.perSecond*1.3+2 {
					t.Errorf("%d began in one second", most)
				}
				for i, n := range got {
					each := want / float64(c.sites)
					if math.Abs(float64(n)-each) > each*0.15+6 {
						t.Errorf("site %d got %d, want about %.0f", i, n, each)
						break
					}
				}
			})
		})
	}
}

// hungry reports whether it does not stand in line already.
func (f *flow) hungry() bool {
	f.lane.mu.Lock()
	defer f.lane.mu.Unlock()
	return !f.paced
}

// TestWhatAFlowLeavesOthersTake: a flow that has nothing any more does not keep
// what it was allowed.
func TestWhatAFlowLeavesOthersTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{now: time.Now, work: newTurns[*lane]()}
		r := &Run{engine: e, paced: newPaced(throttle.Rate{Count: 1, Per: 2 * time.Second}, time.Now)}
		defer r.paced.stop()
		var flows []*flow
		for range 2 {
			l := &lane{engine: e, site: &site{shares: share.New[*Run](batchSize)}}
			flows = append(flows, &flow{run: r, lane: l, listed: true})
		}
		ask := func(f *flow) int {
			f.lane.mu.Lock()
			defer f.lane.mu.Unlock()
			return f.pace(1)
		}
		if ask(flows[0]) != 1 || ask(flows[0]) != 0 || ask(flows[1]) != 0 {
			t.Fatal("the rate is not kept")
		}
		flows[0].lane.mu.Lock()
		flows[0].listed = false // it was emptied while it stood in line
		flows[0].lane.mu.Unlock()
		time.Sleep(2100 * time.Millisecond)
		synctest.Wait()
		if n := ask(flows[1]); n != 1 {
			t.Error("what the first left was lost")
		}
	})
}
