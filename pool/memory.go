package pool

import (
	"sync"
	"time"
)

// forgetful is the Memory of a process that keeps none: without one, a host
// whose TLS is broken would be tried with TLS again at once, for ever.
type forgetful struct {
	mu     sync.Mutex
	traits map[string]Traits // under mu
}

// maxRemembered bounds forgetful; beyond it, anything may be forgotten.
const maxRemembered = 100_000

func newForgetful() *forgetful { return &forgetful{traits: map[string]Traits{}} }

func (f *forgetful) Recall(host string, now time.Time) Traits {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.traits[host]
	if ok && !now.Before(t.Until) {
		delete(f.traits, host)
		return Traits{}
	}
	return t
}

func (f *forgetful) Remember(host string, t Traits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.traits) >= maxRemembered {
		for h := range f.traits {
			delete(f.traits, h)
			break
		}
	}
	f.traits[host] = t
}
