package throttle

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// The learned state of one limiter as bytes: a version, then fields in fixed
// order, numbers as varints, times in Unix milliseconds (0: none), bounds as
// thousandths (0: none).
const (
	stateVersion = 1
	// maxReason bounds the reason kept, in octets.
	maxReason = 200
)

// ErrState says that bytes are not a state that this version wrote.
var ErrState = errors.New("not a limiter's state")

// AppendState appends what was learned to dst; nothing when there is nothing
// worth keeping: the owner then deletes what it kept before.
func (l *Limiter) AppendState(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.lesson
	if s == nil || (s.phase == running && s.rests == 0 && !s.conns.learned() && !s.rate.learned()) {
		return dst
	}
	dst = append(dst, stateVersion, byte(s.phase))
	dst = appendTime(dst, s.restUntil)
	dst = binary.AppendUvarint(dst, uint64(max(0, s.restSpan.Milliseconds())))
	dst = binary.AppendUvarint(dst, uint64(s.rests))
	dst = s.conns.append(dst)
	dst = s.rate.append(dst)
	why := s.why[:min(len(s.why), maxReason)]
	dst = binary.AppendUvarint(dst, uint64(len(why)))
	return append(dst, why...)
}

// Restore replaces what was learned by an earlier AppendState's bytes. What is
// older than a day is left out.
func (l *Limiter) Restore(now time.Time, state []byte) error {
	s, err := decodeLesson(state)
	if err != nil {
		return err
	}
	if s != nil {
		for _, w := range []*window{&s.conns, &s.rate} {
			if w.learned() && now.Sub(w.cutAt) >= forgetAfter {
				w.forget()
			}
		}
		if now.Sub(s.restUntil) >= forgetAfter {
			s.phase, s.rests = running, 0
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lesson = s
	l.drop()
	l.refresh(now)
	return nil
}

// decodeLesson reads the bytes; none is no lesson.
func decodeLesson(b []byte) (*lesson, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := reader{b: b}
	if r.byte() != stateVersion {
		return nil, ErrState
	}
	s := newLesson()
	s.phase = phase(r.byte())
	s.restUntil = r.time()
	s.restSpan = r.duration()
	s.rests = int(min(r.uvarint(), 64))
	s.conns = r.window()
	s.rate = r.window()
	s.why = r.text()
	if r.bad || len(r.b) != 0 || s.phase > probing {
		return nil, ErrState
	}
	return s, nil
}

func (w *window) append(dst []byte) []byte {
	if !w.learned() {
		return binary.AppendUvarint(dst, 0)
	}
	for _, f := range [...]float64{w.bound, w.proven, w.target, w.step} {
		dst = binary.AppendUvarint(dst, thousandths(f))
	}
	dst = binary.AppendUvarint(dst, uint64(w.hold.Milliseconds()))
	dst = appendTime(dst, w.next)
	return appendTime(dst, w.cutAt)
}

// thousandths keeps a positive bound positive.
func thousandths(f float64) uint64 {
	if f <= 0 {
		return 0
	}
	return uint64(math.Ceil(min(f, 1e12) * 1000))
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendUvarint(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(max(1, t.UnixMilli())))
}

// reader takes fields off b; after the first that is not there all are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) time() time.Time {
	// Bounded so that arithmetic on it cannot overflow: the year 9999.
	if ms := r.uvarint(); ms != 0 {
		return time.UnixMilli(int64(min(ms, 253402300799000)))
	}
	return time.Time{}
}

func (r *reader) duration() time.Duration {
	return time.Duration(min(r.uvarint(), uint64(maxHint.Milliseconds()))) * time.Millisecond
}

func (r *reader) window() window {
	bound := r.uvarint()
	if bound == 0 {
		return window{bound: math.Inf(1)}
	}
	return window{
		bound:  float64(min(bound, 1e15)) / 1000,
		proven: float64(min(r.uvarint(), 1e15)) / 1000,
		target: float64(min(r.uvarint(), 1e15)) / 1000,
		step:   float64(min(r.uvarint(), 1e15)) / 1000,
		hold:   max(firstHold, r.duration()),
		next:   r.time(),
		cutAt:  r.time(),
	}
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) || n > maxReason {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
