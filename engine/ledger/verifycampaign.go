package ledger

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// campaignProof is what adds up over a campaign.
type campaignProof struct {
	*proof
	rec *campaignRecord

	domains           int
	loaded            uint64
	indexed           sum
	replied           uint64
	uncertain         uint64
	anomalies         map[uint8]uint64
	domain            *domainProof
	records           *pebble.Iterator // domain records, in step with the walk
	queue             *pebble.Iterator
	moreRecord, moreQ bool
	key               []byte
	suppressedAtLoad  uint64
	told              *told
}

func (p *proof) campaign(rec *campaignRecord) (err error) {
	c := &campaignProof{proof: p, rec: rec, anomalies: make(map[uint8]uint64), told: new(told)}
	p.happened[rec.Number] = c.told
	if rec.Told {
		c.told.rejects = rec.Rejected
	}
	lower, upper := campaignBounds(spaceDomain, rec.Number)
	if c.records, err = p.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
		return err
	}
	defer closeIter(c.records, &err)
	lower, upper = campaignBounds(spaceQueue, rec.Number)
	if c.queue, err = p.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
		return err
	}
	defer closeIter(c.queue, &err)
	c.moreRecord, c.moreQ = c.records.First(), c.queue.First()
	if err := walk(p.snap, rec.Number, c.recipient); err != nil {
		return err
	}
	if err := c.endDomain(); err != nil {
		return err
	}
	if c.moreRecord {
		c.wrong("campaign %s: domain record %q has no recipients", rec.Name, c.records.Key())
	}
	if c.moreQ {
		c.wrong("campaign %s: queue entry %q belongs to no domain", rec.Name, c.queue.Key())
	}
	if c.loaded != rec.Recipients || rec.Rows != rec.Recipients+rec.Rejected {
		c.wrong("campaign %s: %d rows, %d rejected, %d loaded on record, %d recipients", rec.Name, rec.Rows, rec.Rejected, rec.Recipients, c.loaded)
	}
	if c.domains != rec.Domains {
		c.wrong("campaign %s: %d domains on record, %d there", rec.Name, rec.Domains, c.domains)
	}
	if c.suppressedAtLoad != rec.Suppressed {
		c.wrong("campaign %s: %d suppressed on record, %d there", rec.Name, rec.Suppressed, c.suppressedAtLoad)
	}
	if c.uncertain != rec.UncertainAttempts {
		c.wrong("campaign %s: %d uncertain attempts on record, %d there", rec.Name, rec.UncertainAttempts, c.uncertain)
	}
	for a, n := range c.anomalies {
		if rec.Anomalies[a] != n {
			c.wrong("campaign %s: %d anomalies of kind %d on record, %d there", rec.Name, rec.Anomalies[a], a, n)
		}
	}
	if len(c.anomalies) != len(rec.Anomalies) {
		c.wrong("campaign %s: %d kinds of anomaly on record, %d there", rec.Name, len(rec.Anomalies), len(c.anomalies))
	}
	if err := c.index(); err != nil {
		return err
	}
	if err := c.rejects(); err != nil {
		return err
	}
	return c.replies()
}

// recipient is called for each, in order.
func (c *campaignProof) recipient(w *walked) error {
	if err := c.step(); err != nil {
		return err
	}
	if c.domain == nil || c.domain.name != string(w.domain) {
		if err := c.endDomain(); err != nil {
			return err
		}
		if err := c.beginDomain(string(w.domain)); err != nil {
			return err
		}
	}
	d, rec := c.domain, c.rec
	c.loaded++
	c.report.Recipients++
	d.loaded++
	if w.flags&rowErased == 0 {
		c.key = appendIndexKey(c.key[:0], rec.Number, c.ledger.opt.hash(w.local, w.domain), w.seq)
		c.indexed.add(c.key)
	}
	at := func() string { return fmt.Sprintf("campaign %s, %s, recipient %d", rec.Name, d.name, w.seq) }
	suppressed := w.flags&rowSuppressed != 0
	if suppressed {
		c.suppressedAtLoad++
	}
	if len(w.history) == 0 {
		d.counts[Pending]++
		if suppressed {
			c.wrong("%s: suppressed without a record", at())
		}
		if w.seq > d.rec.high {
			d.fresh++
		}
		if w.seq <= d.rec.low {
			c.wrong("%s: behind the low mark %d without a record: lost", at(), d.rec.low)
		}
		return nil
	}
	if w.seq > d.rec.high && !suppressed {
		c.wrong("%s: has records, but was never leased (mark %d)", at(), d.rec.high)
	}
	if w.first != 1 || w.gap {
		c.wrong("%s: records are not numbered 1 to %d", at(), len(w.history))
	}
	c.report.Records += uint64(len(w.history))
	for i := range w.history {
		e := &w.history[i]
		n := w.first + uint16(i)
		last := i == len(w.history)-1
		if (e.returned || !e.queued) && !last {
			c.wrong("%s: record %d is final, but others follow", at(), n)
		}
		if e.counted {
			c.replied++
		}
		if e.attempted {
			if e.state == Uncertain {
				c.uncertain++
			}
			if e.anomaly != 0 {
				c.anomalies[e.anomaly]++
			}
		}
		if !e.returned && !(suppressed && i == 0) {
			c.key = appendHistoryKey(c.key[:0], rec.Number, d.name, w.seq, n)
			c.told.attempts.add(c.key)
		}
		if e.peer != 0 {
			if _, err := c.ledger.peerByID(c.snap, e.peer); err != nil {
				c.wrong("%s: record %d: %v", at(), n, err)
			}
		}
		if _, err := c.ledger.shapes.decodeText(e.text); err != nil {
			c.wrong("%s: record %d: %v", at(), n, err)
		}
	}
	e := &w.history[len(w.history)-1]
	d.counts[e.state]++
	c.entry(w.seq, e, at)
	return nil
}

// index compares the address index with the recipients.
func (c *campaignProof) index() (err error) {
	lower, upper := campaignBounds(spaceIndex, c.rec.Number)
	iter, err := c.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	var found sum
	for ok := iter.First(); ok; ok = iter.Next() {
		if err := c.step(); err != nil {
			return err
		}
		found.add(iter.Key())
	}
	if found != c.indexed {
		c.wrong("campaign %s: the address index has %d entries that are not those of its %d addresses", c.rec.Name, found.n, c.indexed.n)
	}
	return iter.Error()
}

func (c *campaignProof) rejects() error {
	var n uint64
	reasons := make(map[string]uint64)
	if err := eachReject(c.snap, c.rec.Number, func(_ []byte, r *Reject) error {
		n++
		reasons[r.Reason]++
		return c.step()
	}); err != nil {
		return err
	}
	if n != c.rec.Rejected || len(reasons) != len(c.rec.Rejects) {
		c.wrong("campaign %s: %d rejected on record, %d there", c.rec.Name, c.rec.Rejected, n)
	}
	for reason, n := range reasons {
		if c.rec.Rejects[reason] != n {
			c.wrong("campaign %s: %d rejected as %s on record, %d there", c.rec.Name, c.rec.Rejects[reason], reason, n)
		}
	}
	return nil
}

func (c *campaignProof) replies() error {
	var n uint64
	if err := eachReply(c.snap, c.rec.Number, func(_ replyKey, count uint64, _ string) error {
		n += count
		return nil
	}); err != nil {
		return err
	}
	if n != c.replied {
		c.wrong("campaign %s: %d replies counted, %d in the history", c.rec.Name, n, c.replied)
	}
	return nil
}
