package ledger

import (
	"bytes"
	"fmt"
	"sort"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
)

// Domains calls fn for every domain in key order until it returns false.
func (c *Campaign) Domains(fn func(*Domain) bool) error {
	if err := c.load(); err != nil {
		return err
	}
	for _, d := range *c.domains.Load() {
		if !fn(d) {
			break
		}
	}
	return nil
}

// Domain finds one by its name; nil if the campaign has nobody there.
func (c *Campaign) Domain(name string) (*Domain, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	return c.domain(name), nil
}

// domain finds one. REQUIRES: loaded.
func (c *Campaign) domain(name string) *Domain {
	list := *c.domains.Load()
	i := sort.Search(len(list), func(i int) bool { return list[i].name >= name })
	if i < len(list) && list[i].name == name {
		return list[i]
	}
	return nil
}

// load makes the domain handles from their records, once. The retry queue and
// what a crash left in flight come with Resume.
func (c *Campaign) load() error {
	if c.loaded.Load() {
		return nil
	}
	c.open.Lock()
	defer c.open.Unlock()
	if c.loaded.Load() {
		return nil
	}
	snap, end, err := c.view()
	if err != nil {
		return err
	}
	defer end()
	domains := make([]Domain, 0, c.record.Domains)
	var names nameBlock
	var counts Counts
	var troubled int64
	err = eachDomain(snap, c.number, func(name, value []byte) error {
		r, site, err := decodeDomain(value)
		if err != nil {
			return fmt.Errorf("domain %s: %w", name, err)
		}
		if len(domains) == cap(domains) {
			return fmt.Errorf("campaign %s has more than its %d domains: %w", c.name, cap(domains), errDamaged)
		}
		domains = domains[:len(domains)+1]
		d := &domains[len(domains)-1]
		d.campaign, d.name = c, names.add(name)
		d.loaded, d.fresh, d.unread, d.counts = r.loaded, r.fresh, r.fresh, r.counts
		d.low, d.high, d.read = r.low, r.high, r.high
		if d.trouble = r.trouble; d.trouble != nil {
			troubled += int64(r.counts[Pending])
		}
		d.site = c.internSite(string(site))
		if r.qhigh != (place{}) || r.hastened != (place{}) {
			q := &d.activate().queue
			q.low, q.high, q.read, q.hastened = r.qlow, r.qhigh, r.qhigh, r.hastened
		}
		for i, n := range r.counts {
			counts[i] += uint64(n)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open campaign %s: %w", c.name, err)
	}
	list := make([]*Domain, len(domains))
	for i := range domains {
		list[i] = &domains[i]
	}
	c.domains.Store(&list)
	for i, n := range counts {
		c.counts[i].Store(n)
	}
	c.troubled.Store(troubled)
	c.loaded.Store(true)
	return nil
}

func (c *Campaign) internSite(name string) string {
	if name == "" {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sites[name]; ok {
		return s
	}
	if c.sites == nil {
		c.sites = make(map[string]string)
	}
	c.sites[name] = name
	return name
}

// eachDomain walks the domain records of a campaign; name and value die with
// the call.
func eachDomain(r pebble.Reader, campaign uint32, fn func(name, value []byte) error) (err error) {
	lower, upper := campaignBounds(spaceDomain, campaign)
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		k := iter.Key()
		if len(k) <= campaignPrefix {
			return errKey
		}
		if err := fn(bytes.TrimSuffix(k[campaignPrefix:], []byte{0}), iter.Value()); err != nil {
			return err
		}
	}
	return nil
}

// nameBlock keeps many short strings in few allocations.
type nameBlock struct{ free []byte }

func (b *nameBlock) add(name []byte) string {
	if len(name) == 0 {
		return ""
	}
	if len(b.free)+len(name) > cap(b.free) {
		b.free = make([]byte, 0, max(32<<10, len(name)))
	}
	start := len(b.free)
	b.free = append(b.free, name...)
	return unsafe.String(&b.free[start], len(name))
}
