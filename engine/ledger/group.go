package ledger

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// group is one commit in the making. Writer only.
type group struct {
	w     *writer
	batch *pebble.Batch
	now   time.Time

	domains   []*Domain
	campaigns []*Campaign
	replies   []*replyCount

	events eventLog
	// nextCampaign is the next number to give, 0 before it was read.
	nextCampaign uint32

	key, value []byte
	// dict is for dictionary entries, made while key and value are in use.
	dict []byte
}

// manyPassed is how many passed queue entries are dropped by one range mark
// instead of one by one. Range marks cost every reader; single deletions in a
// queue whose reader seeks past them cost next to nothing until compacted.
const manyPassed = 1024

// build turns the inbox into a batch, and memory into what it will be.
func (g *group) build(w *writer, in *inbox) error {
	g.w = w
	if g.batch == nil {
		g.batch = w.ledger.db.NewBatchWithSize(64 << 10)
	} else {
		g.batch.Reset()
	}
	g.now = time.UnixMilli(w.ledger.opt.Now().UnixMilli())
	g.events.begin()
	for i := range in.leases {
		if err := g.lease(in.leases[i].batch); err != nil {
			return err
		}
	}
	kept := 0
	for i := range in.settle {
		ok, err := g.settle(&in.settle[i])
		if err != nil {
			return err
		}
		if !ok {
			w.stats.strays.Add(1)
			continue
		}
		if kept != i {
			in.settle[kept] = in.settle[i]
		}
		kept++
	}
	clear(in.settle[kept:])
	in.settle = in.settle[:kept]
	for _, r := range in.returns {
		if err := g.giveBack(r.domain, r.seq); err != nil {
			return err
		}
	}
	for _, d := range in.touched {
		g.touch(d)
	}
	for i := range in.changes {
		if c := &in.changes[i]; c.apply != nil {
			c.err = c.apply(g)
		}
	}
	return g.seal()
}

// touch has a domain's record written.
func (g *group) touch(d *Domain) {
	if !d.touched && !d.campaign.gone.Load() {
		d.touched = true
		g.domains = append(g.domains, d)
	}
}

func (g *group) touchCampaign(c *Campaign) {
	if !c.dirty && !c.gone.Load() {
		c.dirty = true
		g.campaigns = append(g.campaigns, c)
	}
}

// lease moves the domain's mark over the batch. Those in it whose address was
// erased end here.
func (g *group) lease(b *Batch) error {
	if b.flight == nil || b.Domain.campaign.gone.Load() {
		return nil
	}
	d := b.Domain
	g.touch(d)
	d.mu.Lock()
	d.lease(b.flight, b.retry)
	items := b.flight.items
	d.mu.Unlock()
	g.w.stats.leased.Add(uint64(len(items)))
	if !b.erased {
		return nil
	}
	for i := range items {
		if !items[i].erased || items[i].settled {
			continue
		}
		if _, err := g.settle(&Settlement{Domain: d, Seq: items[i].seq, State: Cancelled, At: g.now}); err != nil {
			return err
		}
	}
	return nil
}

// take finds a recipient in flight, leases it if that has not happened, and
// marks it settled. REQUIRES: d.mu.
func (g *group) take(d *Domain, seq Seq) *item {
	if d.campaign.gone.Load() {
		return nil
	}
	f, it, retry := d.active.find(seq)
	if it == nil {
		return nil
	}
	d.lease(f, retry)
	it.settled = true
	f.open--
	return it
}

// settle writes one recipient's new state; false when it was not in flight.
func (g *group) settle(s *Settlement) (bool, error) {
	d := s.Domain
	c := d.campaign
	queued := s.State == Deferred || s.State == Uncertain && !s.Due.IsZero()
	e := event{
		state: s.State, attempted: s.Attempted, queued: queued,
		at: s.At, took: s.Took, command: s.Command, code: s.Code,
		enhanced: s.Enhanced, anomaly: s.Anomaly,
	}
	e.counted = e.attempted || e.code != 0 || s.Text != ""
	if e.at.IsZero() {
		e.at = g.now
	}
	if queued {
		e.due = fromMillis(millis(s.Due))
		if e.due.IsZero() {
			e.due = g.now
		}
	}
	d.mu.Lock()
	it := g.take(d, s.Seq)
	if it == nil {
		d.mu.Unlock()
		return false, nil
	}
	// What the ledger knows counts, whatever the caller remembers.
	s.Was, s.Attempts = it.was, it.attempts
	n := it.attempts + 1
	if n == math.MaxUint16 && queued {
		// Numbers end here: nobody is tried that often.
		e.state, e.queued, queued = Expired, false, false
		s.State = Expired
	}
	var at place
	if queued {
		at = d.active.queue.add(s.Seq, bucketOf(e.due), millis(e.due))
		e.bucket = at.bucket
	}
	d.counts[it.was]--
	d.counts[e.state]++
	if d.trouble != nil && it.was == Pending {
		c.troubled.Add(-1)
	}
	was := it.was
	d.mu.Unlock()
	c.counts[was].Add(^uint64(0))
	c.counts[e.state].Add(1)
	g.touch(d)
	g.w.stats.settled.Add(1)

	if s.Via != nil {
		id, err := g.peer(s.Via)
		if err != nil {
			return true, err
		}
		e.peer = id
	}
	g.key = appendHistoryKey(g.key[:0], c.number, d.name, s.Seq, n)
	g.value = e.appendHeader(g.value[:0], s.Text != "")
	shape := uint32(0)
	if s.Text != "" {
		var err error
		if shape, err = g.text(s.Text); err != nil {
			return true, err
		}
	}
	if err := g.batch.Set(g.key, g.value, nil); err != nil {
		return true, err
	}
	g.events.add(c.number, d.name, s.Seq, n)
	if e.counted {
		if err := g.countReply(c, s, shape); err != nil {
			return true, err
		}
	}
	if s.Attempted {
		c.attempts.Add(1)
		if s.State == Uncertain || s.Anomaly != 0 {
			c.mu.Lock()
			if s.State == Uncertain {
				c.record.UncertainAttempts++
			}
			if s.Anomaly != 0 {
				if c.record.Anomalies == nil {
					c.record.Anomalies = make(map[uint8]uint64)
				}
				c.record.Anomalies[s.Anomaly]++
			}
			c.mu.Unlock()
			g.touchCampaign(c)
		}
	}
	if !queued {
		return true, nil
	}
	attempts := it.attempts
	if s.Attempted {
		attempts = n
	}
	return true, g.enqueue(d, at, waiting{was: e.state, attempts: attempts, due: e.due})
}

// giveBack puts an untried recipient into the retry queue, due at once.
func (g *group) giveBack(d *Domain, seq Seq) error {
	d.mu.Lock()
	it := g.take(d, seq)
	if it == nil {
		d.mu.Unlock()
		g.w.stats.strays.Add(1)
		return nil
	}
	at := d.active.queue.add(seq, bucketOf(g.now), millis(g.now))
	was, attempts := it.was, it.attempts
	d.mu.Unlock()
	g.touch(d)
	g.w.stats.returned.Add(1)
	e := event{state: was, returned: true, queued: true, bucket: at.bucket, due: g.now, at: g.now}
	g.key = appendHistoryKey(g.key[:0], d.campaign.number, d.name, seq, attempts+1)
	g.value = e.append(g.value[:0])
	if err := g.batch.Set(g.key, g.value, nil); err != nil {
		return err
	}
	return g.enqueue(d, at, waiting{was: was, attempts: attempts, due: g.now})
}

func (g *group) enqueue(d *Domain, at place, w waiting) error {
	g.key = appendQueueKey(g.key[:0], d.campaign.number, d.name, at)
	g.value = w.append(g.value[:0])
	return g.batch.Set(g.key, g.value, nil)
}

// seal adds what is written once a group: domain and campaign records, reply
// counts, the event record.
func (g *group) seal() error {
	for _, d := range g.domains {
		if err := g.sealDomain(d); err != nil {
			return err
		}
	}
	for _, c := range g.campaigns {
		c.mu.Lock()
		err := c.record.set(g.batch)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		c.dirty = false
	}
	g.campaigns = g.campaigns[:0]
	if err := g.sealReplies(); err != nil {
		return err
	}
	return g.events.seal(&small{g.batch}, g.now)
}

func (g *group) sealDomain(d *Domain) error {
	number := d.campaign.number
	d.mu.Lock()
	d.advance()
	var passed []place
	low := place{}
	if a := d.active; a != nil {
		idle := len(a.fresh) == 0 && len(a.retry) == 0 && len(a.queue.buckets) == 0
		if idle || len(a.queue.passed) >= manyPassed {
			passed, a.queue.passed = a.queue.passed, nil
			low = a.queue.low
		}
		if idle {
			// The marks go with the last entry, so that an idle domain is small.
			d.active = nil
		}
	}
	r := d.record()
	d.mu.Unlock()

	if len(passed) >= manyPassed {
		g.key = appendDomainKey(g.key[:0], spaceQueue, number, d.name)
		g.value = appendQueueKey(g.value[:0], number, d.name, low)
		if err := g.batch.DeleteRange(g.key, append(g.value, 0), nil); err != nil {
			return err
		}
	} else {
		for _, at := range passed {
			g.key = appendQueueKey(g.key[:0], number, d.name, at)
			if err := g.batch.Delete(g.key, nil); err != nil {
				return err
			}
		}
	}
	g.key = appendDomainKey(g.key[:0], spaceDomain, number, d.name)
	g.value = r.append(g.value[:0])
	return g.batch.Set(g.key, g.value, nil)
}

// finish is after the commit: readers may see the group's queue entries.
func (g *group) finish() {
	for _, d := range g.domains {
		d.touched = false
		d.mu.Lock()
		if d.active != nil {
			d.active.queue.barrier = place{}
		}
		d.mu.Unlock()
	}
	clear(g.domains)
	g.domains = g.domains[:0]
	const large = 4 << 20
	if g.batch.Len() > large {
		g.batch.Close()
		g.batch = nil
	}
	if cap(g.value) > large {
		g.value = nil
	}
}

// peer gives a peer its number, and writes it down the first time.
func (g *group) peer(p *Peer) (uint32, error) {
	if p.id != 0 {
		return p.id, nil
	}
	id := g.w.ledger.peers.next()
	g.dict = appendPeer(g.dict[:0], p)
	if err := g.batch.Set(appendIDKey(nil, spacePeer, id), g.dict, nil); err != nil {
		return 0, err
	}
	p.id = id
	return id, nil
}

// recover finds where numbering stopped.
func (w *writer) recover() error {
	l := w.ledger
	last, err := lastID(l.db, spacePeer)
	if err != nil {
		return err
	}
	l.peers.reset(last)
	if err := w.group.events.recover(l.db); err != nil {
		return err
	}
	l.tip.move(&w.group.events)
	return nil
}

// lastID is the highest number in use in a keyspace keyed by number.
func lastID(r pebble.Reader, space byte) (id uint32, err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return 0, err
	}
	defer closeIter(iter, &err)
	if iter.Last() {
		if len(iter.Key()) != campaignPrefix {
			return 0, errKey
		}
		id = binary.BigEndian.Uint32(iter.Key()[1:])
	}
	return id, iter.Error()
}
