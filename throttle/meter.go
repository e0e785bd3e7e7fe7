package throttle

import "time"

// meterSpan is the length of one of the meter's two buckets.
const meterSpan = 5 * time.Second

// meter measures what was achieved: messages a second over the last 5 to 10
// seconds. Not safe for concurrent use.
type meter struct {
	start    int64 // Unix nanoseconds: begin of the current bucket; 0: unused
	count    int   // in the current bucket
	previous int   // in the one before; -1: there was none
}

func (m *meter) add(now time.Time, n int) {
	m.advance(now)
	m.count += n
}

// perSecond is at most what was counted: less than a second counts as one.
func (m *meter) perSecond(now time.Time) float64 {
	if m.start == 0 {
		return 0
	}
	m.advance(now)
	span := time.Duration(max(0, now.UnixNano()-m.start))
	if m.previous >= 0 {
		return float64(m.previous+m.count) / (span + meterSpan).Seconds()
	}
	return float64(m.count) / max(1, span.Seconds())
}

func (m *meter) advance(now time.Time) {
	at := now.UnixNano()
	switch passed := time.Duration(at - m.start); {
	case m.start == 0 || passed >= 4*meterSpan:
		*m = meter{start: at, previous: -1}
	case passed >= 2*meterSpan:
		*m = meter{start: at}
	case passed >= meterSpan:
		*m = meter{start: m.start + int64(meterSpan), previous: m.count}
	}
}
