package engine

// Connections is how many are open for each campaign that is being sent, by its
// id. One that serves several campaigns counts for each. It goes over all lanes:
// ask now and then. Any goroutine.
func (e *Engine) Connections() map[string]int {
	by := make(map[string]int)
	for _, l := range e.allLanes() {
		n := int(l.connections.Load())
		if n == 0 {
			continue
		}
		l.mu.Lock()
		for r := range l.byRun {
			if !r.Done() {
				by[r.campaign.Name()] += n
			}
		}
		l.mu.Unlock()
	}
	return by
}
