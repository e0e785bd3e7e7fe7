package control

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// pace is how long a client may keep a call waiting.
type pace struct {
	// body is for the whole request of a call that is no stream.
	body time.Duration
	// say is for the next octet of a stream that a client sends.
	say time.Duration
	// take is for the client to take in what is written to him.
	take time.Duration
}

var usualPace = pace{body: 30 * time.Second, say: 5 * time.Minute, take: 30 * time.Second}

// of gives a response and a request that fail, and with them the call, when
// the client keeps them waiting too long: when he does not take in what is
// written, or does not go on with what is read. Nothing else waits for a slow
// client, as the goroutine is the call's own. done must be called when the call
// has ended.
func (p pace) of(w http.ResponseWriter, r *http.Request, stream bool) (http.ResponseWriter, *http.Request, func()) {
	c := http.NewResponseController(w)
	// A connection within the process has no deadlines, and needs none.
	say := newPatience(func() { _ = c.SetReadDeadline(time.Now()) })
	take := newPatience(func() { _ = c.SetWriteDeadline(time.Now()) })
	if r.Body != nil && r.Body != http.NoBody {
		body := &pacedBody{ReadCloser: r.Body, patience: say}
		if stream {
			body.each = p.say
		} else {
			say.begin(p.body)
		}
		r.Body = body
	}
	return &pacedResponse{ResponseWriter: w, control: c, patience: take, most: p.take}, r, func() {
		say.over()
		take.over()
	}
}

// patience ends what it was begun for when the time is over. Deadlines are set
// then and not before, as HTTP/2 ends a stream at its deadline whether anything
// waits for it or not.
type patience struct {
	lost func()

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil until begun
	ended bool        // guarded by mu: lost must not be called any more
}

func newPatience(lost func()) *patience { return &patience{lost: lost} }

func (p *patience) begin(most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(most)
		return
	}
	p.timer = time.AfterFunc(most, p.lose)
}

// lose runs on the timer's goroutine. It holds the lock so that the response is
// not touched after its call.
func (p *patience) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.lost()
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}

// over is the end for good.
func (p *patience) over() {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// pacedBody is read by one goroutine.
type pacedBody struct {
	io.ReadCloser
	patience *patience
	each     time.Duration // for each read; 0: the patience is for all of them
}

// Read implements io.Reader.
func (b *pacedBody) Read(into []byte) (int, error) {
	if b.each > 0 {
		b.patience.begin(b.each)
	}
	n, err := b.ReadCloser.Read(into)
	if b.each > 0 || err != nil {
		b.patience.end()
	}
	return n, err
}

// pacedResponse is written to by one goroutine.
type pacedResponse struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience *patience
	most     time.Duration
}

// Write implements http.ResponseWriter.
func (p *pacedResponse) Write(text []byte) (int, error) {
	p.patience.begin(p.most)
	defer p.patience.end()
	return p.ResponseWriter.Write(text)
}

// Flush implements http.Flusher.
func (p *pacedResponse) Flush() {
	p.patience.begin(p.most)
	defer p.patience.end()
	_ = p.control.Flush() // the next write says why not
}

// Unwrap is for http.ResponseController.
func (p *pacedResponse) Unwrap() http.ResponseWriter { return p.ResponseWriter }
