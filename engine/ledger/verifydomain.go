package ledger

import "fmt"

// domainProof is what adds up over one domain.
type domainProof struct {
	name   string
	rec    domainRecord
	loaded uint32
	fresh  uint32
	counts [NumStates]uint32
	// waiting is who must be in the queue, by the place their history names.
	waiting sum
}

// entry checks the queue's side of a recipient with history.
func (c *campaignProof) entry(seq Seq, e *event, at func() string) {
	d := c.domain
	place := place{e.bucket, seq}
	if !e.queued {
		return
	}
	if place.compare(d.rec.qlow) <= 0 {
		c.wrong("%s: its queue entry is behind the low mark: lost", at())
		return
	}
	d.waiting.add(appendQueueKey(nil, c.rec.Number, d.name, place))
}

func (c *campaignProof) beginDomain(name string) error {
	c.domains++
	c.domain = &domainProof{name: name}
	d := c.domain
	if !c.moreRecord {
		c.wrong("campaign %s: %s has no record", c.rec.Name, name)
		return nil
	}
	got, _, err := splitKey(c.records.Key(), 0)
	if err != nil {
		return err
	}
	if string(got) != name {
		return fmt.Errorf("campaign %s: domain record of %q where %q is due: %w", c.rec.Name, got, name, errDamaged)
	}
	if d.rec, _, err = decodeDomain(c.records.Value()); err != nil {
		return fmt.Errorf("domain %s: %w", name, err)
	}
	c.moreRecord = c.records.Next()
	return nil
}

func (c *campaignProof) endDomain() error {
	d := c.domain
	if d == nil {
		return nil
	}
	at := fmt.Sprintf("campaign %s, %s", c.rec.Name, d.name)
	if d.loaded != d.rec.loaded {
		c.wrong("%s: %d loaded on record, %d there", at, d.rec.loaded, d.loaded)
	}
	if d.counts != d.rec.counts {
		c.wrong("%s: counts by state are %v on record, %v by history", at, d.rec.counts, d.counts)
	}
	if d.fresh != d.rec.fresh {
		c.wrong("%s: %d fresh on record, %d there", at, d.rec.fresh, d.fresh)
	}
	if d.rec.low > d.rec.high || d.rec.qlow.compare(d.rec.qhigh) > 0 {
		c.wrong("%s: low mark above the high one", at)
	}
	// Of the queue what lies above the low mark counts; of that, entries up to
	// the high mark may be of recipients who have moved on.
	var found sum
	for ; c.moreQ; c.moreQ = c.queue.Next() {
		name, place, err := splitQueueKey(c.queue.Key())
		if err != nil {
			return err
		}
		if string(name) != d.name {
			if string(name) < d.name {
				c.wrong("campaign %s: queue entry %q belongs to no domain", c.rec.Name, c.queue.Key())
				continue
			}
			break
		}
		if place.compare(d.rec.qlow) <= 0 {
			continue
		}
		w, err := decodeWaiting(c.queue.Value())
		if err != nil {
			return err
		}
		current, err := c.current(place, w)
		if err != nil {
			return err
		}
		switch {
		case current:
			found.add(c.queue.Key())
		case place.compare(d.rec.qhigh) > 0:
			c.wrong("%s: queue entry %v of a recipient who is not waiting for it", at, place)
		}
	}
	if found != d.waiting {
		c.wrong("%s: %d wait for a retry, %d are in the queue", at, d.waiting.n, found.n)
	}
	c.domain = nil
	return nil
}

// current tells whether a queue entry is the one that its recipient's last
// record names.
func (c *campaignProof) current(at place, w waiting) (bool, error) {
	d := c.domain
	last := w.attempts
	if v, err := getCopy(c.snap, appendHistoryKey(nil, c.rec.Number, d.name, at.seq, last+1)); err != nil {
		return false, err
	} else if v != nil {
		e, err := decodeEvent(v)
		return err == nil && e.queued && e.returned && e.bucket == at.bucket, err
	}
	v, err := getCopy(c.snap, appendHistoryKey(nil, c.rec.Number, d.name, at.seq, last))
	if err != nil || v == nil {
		return false, err
	}
	e, err := decodeEvent(v)
	return err == nil && e.queued && e.bucket == at.bucket && e.state == w.was, err
}
