package ledger

import "time"

// Standing is how a domain stands towards its end: from memory, in one look.
type Standing struct {
	// Site is the name given by SetSite, empty before that.
	Site string
	// Pending was never tried, Deferred is to be tried again.
	Pending, Deferred uint64
	// FirstDue and LastDue bound when those in the retry queue fall due; zero
	// when nobody is in it.
	FirstDue, LastDue time.Time
	// Rests is until when trouble holds it back; zero when nothing does.
	Rests time.Time
}

// Standing looks at the domain. Any goroutine.
func (d *Domain) Standing() Standing {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Standing{Site: d.site, Pending: uint64(d.counts[Pending]), Deferred: uint64(d.counts[Deferred])}
	if d.active != nil {
		if b := d.active.queue.buckets; len(b) > 0 {
			s.FirstDue, s.LastDue = fromMillis(b[0].due), fromMillis(b[len(b)-1].due)
		}
	}
	if d.trouble != nil {
		s.Rests = d.trouble.Next
	}
	return s
}
