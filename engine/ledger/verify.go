package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// VerifyReport is the ledger's proof, or what speaks against it.
type VerifyReport struct {
	Campaigns  int
	Recipients uint64
	// Records is history records, attempts and others.
	Records uint64
	Events  uint64
	// Problems are empty in a sound ledger; the list ends after some hundred.
	Problems []string
}

// OK reports that nothing was found wrong.
func (r *VerifyReport) OK() bool { return len(r.Problems) == 0 }

const maxProblems = 200

// Verify proves, from one consistent state on disk and without stopping
// anything, that of every campaign: rows = loaded + rejected, and
// loaded = pending + all outcomes; nobody is in two states; the counts are
// those of the recipients; everybody who waits for a retry is in the queue
// exactly once and nobody else is; marks, address index, event log, reply
// counts, rejects and dictionaries agree with the history.
//
// It reads everything once. Sets are compared by count and by a sum of hashes
// that does not depend on the order, so it needs no memory for them. The error
// is for what could not be read; what is wrong is in the report.
func (l *Ledger) Verify(ctx context.Context) (VerifyReport, error) {
	if err := l.enter(); err != nil {
		return VerifyReport{}, err
	}
	defer l.leave()
	snap := l.db.NewSnapshot()
	defer snap.Close()
	p := &proof{ledger: l, snap: snap, ctx: ctx, known: make(map[uint32]bool)}
	err := eachCampaign(snap, func(rec *campaignRecord) error {
		if !rec.Loaded {
			return nil
		}
		p.report.Campaigns++
		p.known[rec.Number] = true
		return p.campaign(rec)
	})
	if err == nil {
		err = p.eventLog()
	}
	if err != nil {
		return p.report, fmt.Errorf("verify %s: %w", l.dir, err)
	}
	return p.report, nil
}

// sum is a set of records without their order.
type sum struct{ n, hash uint64 }

func (s *sum) add(key []byte) {
	s.n++
	s.hash += xxhash.Sum64(key)
}

type proof struct {
	ledger *Ledger
	snap   *pebble.Snapshot
	ctx    context.Context
	report VerifyReport
	known  map[uint32]bool
	// happened is the events that history speaks of.
	happened sum
	steps    int
}

func (p *proof) wrong(format string, args ...any) {
	if len(p.report.Problems) < maxProblems {
		p.report.Problems = append(p.report.Problems, fmt.Sprintf(format, args...))
	}
}

func (p *proof) step() error {
	if p.steps++; p.steps%4096 == 0 {
		return p.ctx.Err()
	}
	return nil
}

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
}

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

func (p *proof) campaign(rec *campaignRecord) (err error) {
	c := &campaignProof{proof: p, rec: rec, anomalies: make(map[uint8]uint64)}
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
			c.happened.add(c.key)
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

// eventLog compares the log with the history it points at.
func (p *proof) eventLog() (err error) {
	iter, err := p.snap.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceEvents}, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	var logged sum
	var key []byte
	next := uint64(1)
	for ok := iter.First(); ok; ok = iter.Next() {
		if len(iter.Key()) != 9 {
			return errKey
		}
		if first := binary.BigEndian.Uint64(iter.Key()[1:]); first != next {
			p.wrong("events %d to %d are missing", next, first-1)
			next = first
		}
		if err := eachEventKey(iter.Value(), func(k eventKey) error {
			next++
			if !p.known[k.campaign] {
				p.wrong("event %d is of campaign %d, which is not there", next-1, k.campaign)
			}
			key = appendHistoryKey(key[:0], k.campaign, string(k.domain), k.seq, k.n)
			logged.add(key)
			return p.step()
		}); err != nil {
			return fmt.Errorf("event record %d: %w", next, err)
		}
	}
	p.report.Events = logged.n
	if logged != p.happened {
		p.wrong("the event log has %d events that are not those of the history's %d", logged.n, p.happened.n)
	}
	return iter.Error()
}
