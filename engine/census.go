package engine

import (
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// census is who is still to be tried, by site, over all campaigns that are being
// sent. Taking it means to look at every domain, so it serves for a while: at
// least censusAge, and so long that it takes a twentieth of a core at most.
type census struct {
	mu     sync.Mutex
	at     time.Time                 // guarded by mu
	took   time.Duration             // guarded by mu
	bySite map[string]ledger.Backlog // guarded by mu; never changed once made
}

const (
	censusAge   = time.Second
	censusShare = 20
)

// census is as of now, or of a moment ago. Whoever is at no known site is left
// out. The map must not be changed.
func (e *Engine) census() map[string]ledger.Backlog {
	c := &e.counted
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := e.now()
	if c.bySite != nil && begun.Sub(c.at) < max(censusAge, censusShare*c.took) {
		return c.bySite
	}
	bySite := make(map[string]ledger.Backlog, len(c.bySite))
	for _, r := range e.allRuns() {
		if r.Done() || r.cancelled.Load() {
			continue
		}
		// A campaign whose domains cannot be read is one whose ledger has failed,
		// which is told elsewhere.
		_ = r.campaign.Domains(func(d *ledger.Domain) bool {
			if site, b := d.Backlog(begun); site != "" && b != (ledger.Backlog{}) {
				sum := bySite[site]
				sum.Add(b)
				bySite[site] = sum
			}
			return true
		})
	}
	c.at, c.bySite = e.now(), bySite
	c.took = c.at.Sub(begun)
	return bySite
}

// CampaignBacklog is who of a campaign is still to be tried at a site.
type CampaignBacklog struct {
	Campaign string
	ledger.Backlog
}

// backlogAt is who is still to be tried at a site, by campaign, in the order in
// which they were started.
func (e *Engine) backlogAt(site string, now time.Time) (all []CampaignBacklog) {
	for _, r := range e.allRuns() {
		if r.Done() || r.cancelled.Load() {
			continue
		}
		b := CampaignBacklog{Campaign: r.campaign.Name()}
		_ = r.campaign.Domains(func(d *ledger.Domain) bool { // as in census
			if at, here := d.Backlog(now); at == site {
				b.Add(here)
			}
			return true
		})
		if b.Backlog != (ledger.Backlog{}) {
			all = append(all, b)
		}
	}
	return all
}
