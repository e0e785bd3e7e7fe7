package ledger

// What people are shown differs from what is on record where one record stands
// for many recipients: the mark of a cancelled campaign, and the trouble of a
// domain. Whoever was not tried yet at a domain in trouble is deferred, since it
// was tried for him, and will be again. All that shows states asks here.

// showing is what bears on the states of a domain's recipients.
type showing struct {
	cancelled bool // the campaign is
	troubled  bool // the domain is in trouble
}

// of is the state that a recipient on record as s is shown with.
func (v showing) of(s State) State {
	switch {
	case v.cancelled && (s == Pending || s == Deferred):
		return Cancelled
	case v.troubled && s == Pending:
		return Deferred
	}
	return s
}

// shown are counts of records as they are shown, troubled of those pending being
// at domains in trouble.
func (c Counts) shown(troubled uint64, cancelled bool) (out Counts) {
	troubled = min(troubled, c[Pending])
	out[showing{cancelled, true}.of(Pending)] += troubled
	c[Pending] -= troubled
	for s, n := range c {
		out[showing{cancelled, false}.of(State(s))] += n
	}
	return out
}
