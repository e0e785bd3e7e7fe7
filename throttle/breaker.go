package throttle

// DefaultBreakerLimit is how many recipients in a row may get the same policy
// refusal before a site rests for the campaign.
const DefaultBreakerLimit = 20

// Breaker notices that a site refuses everybody for one and the same reason
// (5xx): that is then about the sender or the message, and going on would turn
// a list into bounces. One Breaker watches one campaign at one site.
//
// The zero value is ready. Not safe for concurrent use: the owner guards it
// with what else it knows of that campaign and site.
type Breaker struct {
	// Limit is how many in a row trip it; 0 takes DefaultBreakerLimit.
	Limit int

	key     string
	run     int
	tripped bool
}

// Refused takes one policy refusal; equal keys mean the same reason. It
// reports whether the breaker is tripped by it. Once tripped, the first
// refusal after a rest trips it again, until something was accepted.
func (b *Breaker) Refused(key string) (tripped bool) {
	if key != b.key {
		b.key, b.run = key, 0
	}
	b.run++
	limit := b.Limit
	if limit <= 0 {
		limit = DefaultBreakerLimit
	}
	if b.run >= limit {
		b.tripped = true
	}
	return b.tripped
}

// Delivered takes an accepted message: the site does not refuse everybody.
// Refusals that concern one recipient alone (no such user) are not told to the
// breaker at all: they say nothing either way.
func (b *Breaker) Delivered() {
	if b.run != 0 || b.tripped {
		b.key, b.run, b.tripped = "", 0, false
	}
}

// Tripped says whether the last word was a trip.
func (b *Breaker) Tripped() bool { return b.tripped }

// Run is how many equal refusals came in a row.
func (b *Breaker) Run() int { return b.run }
