package mx

import (
	"net/netip"
	"time"
)

// Status says what a lookup found. Closed set; switches over it are exhaustive.
type Status uint8

const (
	StatusUnset Status = iota
	// Found: Answer.Route has at least one host with an address.
	Found
	// NullMX: the domain accepts no mail (RFC 7505): permanent, 5.1.10.
	NullMX
	// NoDomain: the name does not exist (NXDOMAIN), or exists with neither MX
	// nor address records: permanent, 5.1.2.
	NoDomain
	// TemporaryFailure: SERVFAIL, time-out, or all resolvers failing: defer.
	TemporaryFailure
	// Prohibited: every host lies in a prohibited network: permanent, 5.4.4,
	// and worth a look by the operator.
	Prohibited
	NumStatuses
)

var statusNames = [NumStatuses]string{"unset", "found", "null MX", "no domain", "temporary failure", "prohibited"}

// String is the status in words, for people.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// Route is where mail for a domain goes.
type Route struct {
	// Site is the name that limits, learning and pauses apply to.
	Site string
	// Hosts in order of preference, equal preferences shuffled (RFC 5321 5.1).
	Hosts []Host
	// Fixed: from the configuration; no MX was asked.
	Fixed bool
	// Key names the set of hosts with their preferences: domains with equal
	// keys can share connections. It does not depend on the order of Hosts.
	Key string
}

// Host is one MX target, or a fixed route's target.
type Host struct {
	Name       string
	Preference uint16
	Addrs      []netip.AddrPort
}

// Answer is what is known of a domain. What it points to is shared with other
// callers and must not be changed.
type Answer struct {
	Domain string
	Status Status
	Route  *Route
	// Reason is for people: the rule or the error behind the status.
	Reason string
	// Expires is when the answer must be asked anew (TTL within bounds).
	Expires time.Time
}
