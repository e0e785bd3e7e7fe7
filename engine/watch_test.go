package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkWatch is one look around at 10,000 sites where everything waits: 20 a
// second are to cost less than a hundredth of a core, which is 500 us each.
func BenchmarkWatch(b *testing.B) {
	bench := newWorkbench(b)
	now := time.Now()
	r, ds := bench.run(b, 16, 1, slices.Repeat([]int{1}, 10_000)...)
	for i, d := range ds {
		l := bench.lane()
		l.key = fmt.Sprint(i)
		bench.engine.lanes[l.key] = l
		f := l.flowOf(r)
		d.setFlow(f)
		l.activate(f, d, now)
	}
	w := &watch{engine: bench.engine}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(lookEvery)
		w.look(now)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)*float64(time.Second/lookEvery)/float64(time.Second)*100, "%-of-a-core")
}
