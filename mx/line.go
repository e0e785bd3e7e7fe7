package mx

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// questionsPerLine bounds how long a line, and with it its port, which a
	// forger would have to guess beside the id (RFC 5452 9.2), serves.
	questionsPerLine = 64
	// strayPackets is how many packets that answer nothing a line bears.
	strayPackets = 64
)

var (
	errStray   = errors.New("only answers to other questions")
	errRetired = errors.New("line is closed")
)

// line is a UDP socket to one server that many questions share, each with an id
// of its own: a socket, and a goroutine that waits for it, for each question would
// be most of what it costs. It takes questionsPerLine questions, then a new one
// with another port takes its place, and it ends with its last answer. So a forger
// has to guess port and id as with a socket for each, and meets one question with
// each guess, since no name is asked for twice at a time.
type line struct {
	server *server
	conn   net.Conn

	mu      sync.Mutex
	ids     [questionsPerLine]uint16 // under mu: from asked on, not used yet
	asked   int                      // under mu
	waiting map[uint16]*question     // under mu
	strays  int                      // under mu
	err     error                    // under mu: why it takes no more
}

// question is one that is under way. It is used again.
type question struct {
	text   []byte // the packet that was sent
	answer []byte // the packet that came
	done   chan error
	timer  *time.Timer
}

var questions = sync.Pool{New: func() any {
	q := &question{done: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	q.timer.Stop()
	return q
}}

// questionAt is where the question stands in a packet (RFC 1035 4.1).
const questionAt = 12

// write makes the packet, with room for the id.
func (q *question) write(name string, qtype uint16, edns bool) error {
	b := append(q.text[:0], 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // RD, one question
	b = b[:cap(b)]
	if len(b) < questionAt+300 { // a name has 255 octets at most
		b = append(b, make([]byte, 512)...)
	}
	n, err := dns.PackDomainName(dns.Fqdn(name), b, questionAt, nil, false)
	if err != nil {
		return err
	}
	b = binary.BigEndian.AppendUint16(b[:n], qtype)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	if edns { // RFC 6891 6.1.2: the root's name, OPT, our size, no flags, no options
		b[11] = 1
		b = append(b, 0, 0, byte(dns.TypeOPT), udpSize>>8, udpSize&0xff, 0, 0, 0, 0, 0, 0)
	}
	q.text = b
	return nil
}

// answeredBy says whether a packet answers the question, by all but its id: same
// name in any case, type and class.
func (q *question) answeredBy(packet []byte) bool {
	const response, questions = 0x80, 1
	end := len(q.text)
	if q.text[11] == 1 {
		end -= 11
	}
	if len(packet) < end || packet[2]&response == 0 || binary.BigEndian.Uint16(packet[4:]) != questions {
		return false
	}
	for i, c := range q.text[questionAt:end] {
		if a := packet[questionAt+i]; a != c && (lower(a) != lower(c) || i >= end-questionAt-4) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// newLine opens a socket. Its goroutine ends when the line does; wait has one that
// waits for it.
func newLine(ctx context.Context, s *server, wait *sync.WaitGroup) (*line, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", s.addr)
	if err != nil {
		return nil, err
	}
	l := &line{server: s, conn: c, waiting: make(map[uint16]*question)}
	var random [2 * questionsPerLine]byte
	_, _ = rand.Read(random[:]) // never fails
	for i := range l.ids {
		l.ids[i] = binary.BigEndian.Uint16(random[2*i:])
	}
	wait.Go(l.listen)
	return l, nil
}

// ask sends q and waits for its answer. errRetired: the line has taken all that
// it takes, and q was not sent.
func (l *line) ask(ctx context.Context, q *question, timeout time.Duration) error {
	id, err := l.enter(q)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(q.text, id)
	q.timer.Reset(timeout) // of sockets, which know only real time
	defer q.timer.Stop()
	if _, err := l.conn.Write(q.text); err != nil {
		l.end(err)
	}
	select {
	case err = <-q.done:
		return err
	case <-q.timer.C:
		err = os.ErrDeadlineExceeded
		l.retire() // the next question goes from another port
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if !l.leave(id, q) {
		return <-q.done // it came at that moment
	}
	return err
}

// enter finds an id for q; errRetired: there is none left.
func (l *line) enter(q *question) (uint16, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && l.asked < questionsPerLine {
		id := l.ids[l.asked]
		l.asked++
		if l.waiting[id] == nil {
			l.waiting[id] = q
			return id, nil
		}
	}
	return 0, errRetired
}

// leave takes a question off that was given up; false: it was answered.
func (l *line) leave(id uint16, q *question) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[id] != q {
		return false
	}
	delete(l.waiting, id)
	l.closeIfDone()
	return true
}

// retire has the line take no more questions.
func (l *line) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = questionsPerLine
}

// closeIfDone ends a line that has answered all. REQUIRES: mu is held.
func (l *line) closeIfDone() {
	if l.err == nil && l.asked == questionsPerLine && len(l.waiting) == 0 {
		l.err = errRetired
		_ = l.conn.Close()
	}
}

// end closes the line for a reason, which all that wait are told.
func (l *line) end(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = why
		_ = l.conn.Close()
	}
	for id, q := range l.waiting {
		delete(l.waiting, id)
		q.done <- l.err
	}
}

// listen hands out the answers. It is the line's goroutine.
func (l *line) listen() {
	packet := make([]byte, readSize)
	for {
		n, err := l.conn.Read(packet)
		if err != nil {
			l.end(err) // such as: nobody listens there
			return
		}
		if !l.take(packet[:n]) {
			l.end(errStray)
			return
		}
	}
}

// take gives a packet to the question it answers. One that answers none is a late
// one, or a forged one; false: those are too many.
func (l *line) take(packet []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(packet) >= questionAt {
		id := binary.BigEndian.Uint16(packet)
		if q := l.waiting[id]; q != nil && q.answeredBy(packet) {
			delete(l.waiting, id)
			q.answer = append(q.answer[:0], packet...)
			q.done <- nil
			l.closeIfDone()
			return true
		}
	}
	l.strays++
	return l.strays <= strayPackets
}

// current is the line that takes questions now, opened if need be.
func (s *server) current(ctx context.Context, wait *sync.WaitGroup) (*line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if l := s.line; l != nil && l.takes() {
		return l, nil
	}
	l, err := newLine(ctx, s, wait)
	if err != nil {
		return nil, err
	}
	s.line = l
	return l, nil
}

func (l *line) takes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && l.asked < questionsPerLine
}
