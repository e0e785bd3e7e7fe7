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
	last     int64 // Unix nanoseconds of the last message counted; 0: none
}

func (m *meter) add(now time.Time, n int) {
	m.advance(now)
	m.count += n
	m.last = now.UnixNano()
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

// at is when the last message was counted; zero: never.
func (m *meter) at() time.Time {
	if m.last == 0 {
		return time.Time{}
	}
	return time.Unix(0, m.last)
}

func (m *meter) advance(now time.Time) {
	at := now.UnixNano()
	switch passed := time.Duration(at - m.start); {
	case m.start == 0 || passed >= 4*meterSpan:
		*m = meter{start: at, previous: -1, last: m.last}
	case passed >= 2*meterSpan:
		*m = meter{start: at, last: m.last}
	case passed >= meterSpan:
		*m = meter{start: m.start + int64(meterSpan), previous: m.count, last: m.last}
	}
}
