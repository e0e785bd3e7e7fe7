package engine

// Draining reports that the engine drains, or has drained. Any goroutine.
func (e *Engine) Draining() bool { return e.ctx.Err() != nil }

// Drains is closed when the engine begins to drain.
func (e *Engine) Drains() <-chan struct{} { return e.ctx.Done() }

// AtWork counts the campaigns that run now, and the sites that something is sent
// to or waits for. Any goroutine.
func (e *Engine) AtWork() (running, sites int) {
	for _, r := range e.allRuns() {
		if !r.Done() {
			running++
		}
	}
	e.routing.Lock()
	defer e.routing.Unlock()
	return running, len(e.sites)
}
