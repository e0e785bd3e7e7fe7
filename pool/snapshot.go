package pool

import (
	"cmp"
	"slices"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Snapshot is a site's or lane's state, for display.
type Snapshot struct {
	// Connections are open, Connecting on the way to it.
	Connections, Connecting int
	// InFlight is messages sent and not answered.
	InFlight int
	// Idle is the open connections that have nothing to send.
	Idle int
	// Lanes is all lanes, Waiting those that wait for a place at the gates.
	Lanes, Waiting int
	// Hosts by name.
	Hosts []HostSnapshot
}

// HostSnapshot is a host's part in a Snapshot.
type HostSnapshot struct {
	Name                              string
	Connections, Connecting, InFlight int
	// Gear is the lowest that its connections drive in; GearAuto: none open.
	Gear smtp.Gear
	// Resting: the host failed and is left alone for a while; Last says why.
	Resting bool
	Last    Failure
}

// Snapshot of the whole site.
func (s *Site) Snapshot() Snapshot {
	now := s.pool.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{Waiting: s.line.Len()}
	hosts := map[string]*HostSnapshot{}
	for l := range s.lanes {
		l.addTo(&snap, hosts)
	}
	for _, h := range s.hosts {
		at := hosts[h.name]
		if at == nil {
			at = &HostSnapshot{Name: h.name}
			hosts[h.name] = at
		}
		at.Connecting = h.connecting
		at.show(h, now.Before(h.silent.until))
	}
	return snap.finish(hosts)
}

// Snapshot of this lane.
func (l *Lane) Snapshot() Snapshot {
	now := l.site.pool.opts.Now()
	l.site.mu.Lock()
	defer l.site.mu.Unlock()
	var snap Snapshot
	if l.queued {
		snap.Waiting = 1
	}
	hosts := map[string]*HostSnapshot{}
	l.addTo(&snap, hosts)
	for _, t := range l.targets {
		at := hosts[t.Name]
		if at == nil {
			at = &HostSnapshot{Name: t.Name}
			hosts[t.Name] = at
		}
		at.Connecting += t.load - at.Connections
		at.show(t.state, now.Before(t.state.silent.until))
	}
	return snap.finish(hosts)
}

// addTo adds the lane's connections. REQUIRES: Site.mu is held.
func (l *Lane) addTo(snap *Snapshot, hosts map[string]*HostSnapshot) {
	snap.Lanes++
	snap.Connecting += l.connecting
	snap.Connections += len(l.conns)
	for _, c := range l.conns {
		h := hosts[c.to.Name]
		if h == nil {
			h = &HostSnapshot{Name: c.to.Name}
			hosts[c.to.Name] = h
		}
		flying := int(c.flying.Load())
		h.Connections++
		h.InFlight += flying
		snap.InFlight += flying
		if c.hungryAt != 0 && flying == 0 {
			snap.Idle++
		}
		h.Gear = topGear(h.Gear, c.Gear())
	}
}

func (h *HostSnapshot) show(state *hostState, silent bool) {
	h.Last = state.last
	h.Resting = silent
}

func (snap Snapshot) finish(hosts map[string]*HostSnapshot) Snapshot {
	for _, h := range hosts {
		snap.Hosts = append(snap.Hosts, *h)
	}
	slices.SortFunc(snap.Hosts, func(a, b HostSnapshot) int { return cmp.Compare(a.Name, b.Name) })
	return snap
}
