package ledger

import (
	"sort"
	"sync"
	"time"
)

// Trouble is something that concerns a whole domain, such as no DNS or no
// connection: one record, not one for each recipient.
type Trouble struct {
	Reason      string
	Since, Next time.Time
}

// Domain is one domain of one campaign: its cursors, counts and marks. The
// campaign hands out one pointer per domain; any goroutine may use it.
//
// First attempts and retries work alike. A reader moves a cursor forward over
// entries that never change; what it took is a flight; leasing writes the
// high mark (everything up to it was handed out); once every recipient of the
// oldest flights is settled the low mark follows. So a lease costs no record
// of its own, and a restart needs to look only at what lies between the marks.
// A deletion or a record for each lease would be the obvious design: the one
// made the reader wade through tombstones, the other doubled the writes.
type Domain struct {
	campaign *Campaign
	name     string

	mu sync.Mutex
	// All below are guarded by mu; only the writer changes the durable ones
	// (counts, fresh, low, high, site, trouble and the queue's marks).
	site    string
	trouble *Trouble
	counts  [NumStates]uint32
	loaded  uint32
	// fresh is how many were never leased; unread how many were never read.
	fresh, unread uint32
	low, high     Seq
	// read is the cursor: the last recipient read for a first attempt.
	read Seq
	// active is nil while nothing is in flight and the retry queue is empty,
	// so that half a million idle domains stay small.
	active *active

	// touched: in the writer's current group. Writer only.
	touched bool
}

// active is the part of a domain that exists only while it is in use.
type active struct {
	fresh, retry []*flight
	queue        queue
}

// flight is what one read took from a cursor, in the cursor's order.
type flight struct {
	items  []item
	open   int
	leased bool
}

// item is one recipient in flight.
type item struct {
	seq Seq
	// bucket is the queue entry's; 0 in fresh flights.
	bucket   uint32
	attempts uint16
	was      State
	settled  bool
	erased   bool
}

func (f *flight) last() *item { return &f.items[len(f.items)-1] }

// find returns the open item of a recipient, and its flight. A recipient is in
// at most one flight with an open item, whatever its history.
func (a *active) find(seq Seq) (f *flight, it *item, retry bool) {
	if a == nil {
		return nil, nil, false
	}
	i := sort.Search(len(a.fresh), func(i int) bool { return a.fresh[i].last().seq >= seq })
	if i < len(a.fresh) {
		items := a.fresh[i].items
		j := sort.Search(len(items), func(j int) bool { return items[j].seq >= seq })
		if items[j].seq == seq && !items[j].settled {
			return a.fresh[i], &items[j], false
		}
	}
	for _, f := range a.retry {
		if f.open == 0 {
			continue
		}
		for j := range f.items {
			if f.items[j].seq == seq && !f.items[j].settled {
				return f, &f.items[j], true
			}
		}
	}
	return nil, nil, false
}

// activate makes the active part. REQUIRES: d.mu.
func (d *Domain) activate() *active {
	if d.active == nil {
		d.active = new(active)
	}
	return d.active
}

// leaseThrough leases every flight of a list up to and including f: a later
// flight must not move the mark past one that is still unleased.
func leaseThrough(list []*flight, f *flight, lease func(*flight)) {
	if f.leased {
		return
	}
	for _, g := range list {
		if !g.leased {
			g.leased = true
			lease(g)
		}
		if g == f {
			return
		}
	}
}

// lease marks f and what was read before it as handed out. REQUIRES: d.mu,
// writer.
func (d *Domain) lease(f *flight, retry bool) {
	a := d.active
	if retry {
		leaseThrough(a.retry, f, func(g *flight) {
			a.queue.high = place{g.last().bucket, g.last().seq}
		})
		return
	}
	leaseThrough(a.fresh, f, func(g *flight) {
		d.high = g.last().seq
		d.fresh -= uint32(len(g.items))
	})
}

// advance moves the low marks over flights that are done. REQUIRES: d.mu,
// writer.
func (d *Domain) advance() {
	a := d.active
	if a == nil {
		return
	}
	for len(a.fresh) > 0 && a.fresh[0].leased && a.fresh[0].open == 0 {
		d.low = a.fresh[0].last().seq
		a.fresh = a.fresh[1:]
	}
	if len(a.fresh) == 0 {
		d.low = d.high
	}
	for len(a.retry) > 0 && a.retry[0].leased && a.retry[0].open == 0 {
		f := a.retry[0]
		a.queue.low = place{f.last().bucket, f.last().seq}
		for i := range f.items {
			a.queue.passed = append(a.queue.passed, place{f.items[i].bucket, f.items[i].seq})
		}
		a.retry = a.retry[1:]
	}
	if len(a.retry) == 0 {
		a.queue.low = a.queue.high
	}
}

// record is the domain as it goes to disk. REQUIRES: d.mu.
func (d *Domain) record() domainRecord {
	r := domainRecord{
		loaded: d.loaded, fresh: d.fresh, counts: d.counts,
		low: d.low, high: d.high, site: d.site, trouble: d.trouble,
	}
	if d.active != nil {
		r.qlow, r.qhigh, r.hastened = d.active.queue.low, d.active.queue.high, d.active.queue.hastened
	}
	return r
}

// Campaign is the campaign that the domain belongs to.
func (d *Domain) Campaign() *Campaign { return d.campaign }

// Name is the domain in lower-case A-label form.
func (d *Domain) Name() string { return d.name }

// Loaded is how many recipients the domain has.
func (d *Domain) Loaded() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.loaded)
}

// Counts are the domain's recipients by state, as of the last group handed to
// the disk, and as they are on record: Campaign.Counts shows what people see.
func (d *Domain) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	var c Counts
	for i, n := range d.counts {
		c[i] = uint64(n)
	}
	return c
}

// Fresh is how many recipients were never read for a first attempt.
func (d *Domain) Fresh() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.unread)
}

// NextDue is when ReadDue will next find somebody; false when the retry queue
// holds nobody.
func (d *Domain) NextDue() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.active == nil || len(d.active.queue.buckets) == 0 {
		return time.Time{}, false
	}
	return fromMillis(d.active.queue.buckets[0].due), true
}

// DueCount is how many in the retry queue are due.
func (d *Domain) DueCount(now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.active == nil {
		return 0
	}
	return d.active.queue.due(millis(now))
}

// Waiting is how many are in the retry queue and unread, due or not.
func (d *Domain) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.active == nil {
		return 0
	}
	return d.active.queue.due(1<<63 - 1)
}

// Hasten makes everybody in the retry queue due at now, with their attempts as
// they are, and says for how many that changed something. It costs one record,
// however many they are, which is written with the next group. REQUIRES:
// Campaign.Resume.
func (d *Domain) Hasten(now time.Time) (n int) {
	d.mu.Lock()
	if d.active != nil {
		n = d.active.queue.hasten(millis(now))
	}
	d.mu.Unlock()
	if n > 0 {
		d.campaign.ledger.writer.touch(d)
	}
	return n
}

// Backlog is who is still to be tried at a domain, or at several.
type Backlog struct {
	// Pending were never taken up; Waiting are in the retry queue: deferred, to be
	// tried again, or handed back. Due is how many of these may be tried now.
	Pending, Waiting, Due uint64
}

// Add counts others to them.
func (b *Backlog) Add(o Backlog) {
	b.Pending += o.Pending
	b.Waiting += o.Waiting
	b.Due += o.Due
}

// Backlog is who is still to be tried at the domain and which site serves it,
// empty when that is not known.
func (d *Domain) Backlog(now time.Time) (site string, b Backlog) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b.Pending = uint64(d.fresh)
	if d.active != nil {
		b.Waiting = uint64(d.active.queue.due(1<<63 - 1))
		b.Due = uint64(d.active.queue.due(millis(now)))
	}
	return d.site, b
}

// Site is the name given by SetSite, empty before that.
func (d *Domain) Site() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.site
}

// SetSite says which site serves the domain. Written with the next group.
func (d *Domain) SetSite(name string) {
	d.mu.Lock()
	if d.site == name {
		d.mu.Unlock()
		return
	}
	d.site = d.campaign.internSite(name)
	d.mu.Unlock()
	d.campaign.ledger.writer.touch(d)
}

// Trouble is what keeps the whole domain back now; false when nothing does.
func (d *Domain) Trouble() (Trouble, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trouble == nil {
		return Trouble{}, false
	}
	return *d.trouble, true
}

// SetTrouble says that nothing can be tried at the domain before next.
// Trouble that goes on keeps its Since. Written with the next group.
func (d *Domain) SetTrouble(reason string, since, next time.Time) {
	d.mu.Lock()
	if d.trouble != nil && d.trouble.Since.Before(since) {
		since = d.trouble.Since
	}
	if d.trouble == nil {
		d.campaign.troubled.Add(int64(d.counts[Pending]))
	}
	d.trouble = &Trouble{Reason: reason, Since: since, Next: next}
	d.mu.Unlock()
	d.campaign.ledger.writer.touch(d)
}

// ClearTrouble ends it. Free of cost when there is none.
func (d *Domain) ClearTrouble() {
	d.mu.Lock()
	if d.trouble == nil {
		d.mu.Unlock()
		return
	}
	d.trouble = nil
	d.campaign.troubled.Add(-int64(d.counts[Pending]))
	d.mu.Unlock()
	d.campaign.ledger.writer.touch(d)
}
