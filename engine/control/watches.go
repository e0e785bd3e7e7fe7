package control

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// Bounds of how often a watcher is told.
const (
	usualInterval = time.Second
	leastInterval = 100 * time.Millisecond
	mostInterval  = time.Hour
)

// watches has a picture of each watched campaign made once an interval, however
// many watch it, by one goroutine for each campaign and interval that anybody
// watches at. A watcher has room for a few pictures; one who has not taken them
// when the next is made is let go, and never waited for. The bound on watchers
// is that on streams. Any goroutine may use it.
type watches struct {
	mu  sync.Mutex
	all map[watchKey]*watch // guarded by mu
}

// watchKey is a campaign's number and how often it is looked at.
type watchKey struct {
	campaign uint32
	interval time.Duration
}

// picture is how a campaign stands at one moment, with what rates are made of.
type picture struct {
	message *pb.WatchCampaignResponse
	// attempts and delivered have been counted since the same beginning.
	attempts, delivered uint64
	// last: nothing changes any more.
	last bool
}

// watch is one campaign being watched at one interval.
type watch struct {
	look func() (picture, error)
	quit chan struct{} // closed when the last watcher has left
	done chan struct{} // closed when its goroutine has ended

	watchers map[*watcher]struct{}     // guarded by watches.mu
	newest   *pb.WatchCampaignResponse // guarded by watches.mu
	over     bool                      // guarded by watches.mu: nobody joins any more
	// at, was and smoothed are the goroutine's own, once it runs.
	at               time.Time
	was              picture
	attempts, passed ewma
}

// watcher is one who watches. pictures is closed behind the last one; err says
// why and is set before that, nil for the campaign's end.
type watcher struct {
	pictures chan *pb.WatchCampaignResponse
	err      error
}

// watcherRoom is how many pictures wait for a watcher.
const watcherRoom = 4

func newWatches() *watches { return &watches{all: make(map[watchKey]*watch)} }

// join begins to watch: the first picture is there at once. look makes one, and
// must not block; its error ends the watch. leave must be called.
func (ws *watches) join(key watchKey, look func() (picture, error)) (_ *watcher, leave func(), err error) {
	var first picture
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for ws.all[key] == nil && first.message == nil {
		ws.mu.Unlock()
		first, err = look()
		ws.mu.Lock()
		if err != nil {
			return nil, nil, err
		}
	}
	w := ws.all[key]
	if w == nil {
		w = &watch{
			look: look, quit: make(chan struct{}), done: make(chan struct{}), watchers: make(map[*watcher]struct{}),
			newest: first.message, at: time.Now(), was: first,
		}
		ws.all[key] = w
		go ws.run(key, w)
	}
	one := &watcher{pictures: make(chan *pb.WatchCampaignResponse, watcherRoom)}
	one.pictures <- w.newest
	w.watchers[one] = struct{}{}
	return one, func() { ws.leave(key, w, one) }, nil
}

// leave ends a watcher's watch, and with the last one the watch itself.
func (ws *watches) leave(key watchKey, w *watch, one *watcher) {
	ws.mu.Lock()
	delete(w.watchers, one)
	last := len(w.watchers) == 0 && !w.over
	if last {
		delete(ws.all, key)
		w.over = true
		close(w.quit)
	}
	over := w.over
	ws.mu.Unlock()
	if over {
		<-w.done
	}
}

// run is a watch's goroutine.
func (ws *watches) run(key watchKey, w *watch) {
	defer close(w.done)
	tick := time.NewTicker(key.interval)
	defer tick.Stop()
	for over := w.was.last; ; {
		if over {
			ws.end(key, w, nil)
			return
		}
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		p, err := w.look()
		if err != nil {
			ws.end(key, w, err)
			return
		}
		w.measure(time.Now(), p)
		ws.show(w, p.message, key.interval)
		over = p.last
	}
}

// measure puts the rates since the picture before into p.
func (w *watch) measure(now time.Time, p picture) {
	dt := now.Sub(w.at).Seconds()
	if dt > 0 && p.attempts >= w.was.attempts && p.delivered >= w.was.delivered {
		attempts, delivered := float64(p.attempts-w.was.attempts)/dt, float64(p.delivered-w.was.delivered)/dt
		p.message.AttemptsPerSecond, p.message.DeliveredPerSecond = attempts, delivered
		p.message.SmoothedAttemptsPerSecond = w.attempts.add(attempts, dt)
		p.message.SmoothedDeliveredPerSecond = w.passed.add(delivered, dt)
	}
	w.at, w.was = now, p
}

// show gives a picture to everybody who has room for it, and lets the others go.
func (ws *watches) show(w *watch, p *pb.WatchCampaignResponse, interval time.Duration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.newest = p
	for one := range w.watchers {
		select {
		case one.pictures <- p:
		default:
			delete(w.watchers, one)
			one.err = connect.NewError(connect.CodeResourceExhausted,
				fmt.Errorf("too slow: %d pictures, one every %s, wait to be read; watch again, at a longer interval", watcherRoom, interval))
			close(one.pictures)
		}
	}
}

// end ends the watch for everybody.
func (ws *watches) end(key watchKey, w *watch, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !w.over {
		delete(ws.all, key)
		w.over = true
	}
	for one := range w.watchers {
		one.err = err
		close(one.pictures)
	}
	clear(w.watchers)
}

// ewma is an average in which what is ten seconds old counts a third.
type ewma struct {
	value float64
	begun bool
}

const smoothing = 10 // seconds

// add takes in the average over the last dt seconds.
func (e *ewma) add(value, dt float64) float64 {
	if !e.begun {
		e.value, e.begun = value, true
		return value
	}
	e.value += (1 - math.Exp(-dt/smoothing)) * (value - e.value)
	return e.value
}

// intervalOf reads how often a watcher wants to be told.
func intervalOf(asked time.Duration, given bool) (time.Duration, error) {
	switch {
	case !given:
		return usualInterval, nil
	case asked < leastInterval || asked > mostInterval:
		return 0, connect.NewError(connect.CodeInvalidArgument, errors.New("interval is "+asked.String()+"; want 100 ms to 1 h"))
	}
	return asked, nil
}
