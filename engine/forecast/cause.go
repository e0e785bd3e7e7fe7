package forecast

// Cause is what keeps a flow's next message from beginning now. Closed set; its
// values index arrays.
type Cause uint8

const (
	// RateLimit: the site's message rate, configured or learned.
	RateLimit Cause = iota
	// ConnectionLimit: every connection allowed is busy, or is another route's.
	// It is named where the limit is lower than the usual one; behind the usual
	// one, what the connections wait for is.
	ConnectionLimit
	// Connecting: connections are on the way: dial, greeting, EHLO, TLS.
	Connecting
	// RoundTrips: replies that are on the way: to commands before the content,
	// and to the content for as long as a round trip takes.
	RoundTrips
	// FinalAnswer: the server has the whole message and thinks about it.
	FinalAnswer
	// DNS: domains that are being looked up, or stand in line for it.
	DNS
	// Composing: messages are being rendered and signed.
	Composing
	// Disk: leases or outcomes are being written, or there is too little space.
	Disk
	// Processor: all is there, and the event loops have not come round to it.
	Processor
	// Nothing: nobody waits who could be sent to; perhaps later, when a retry
	// falls due.
	Nothing
	// Paused: by a person.
	Paused
	// MaxRate: the campaign's own rate.
	MaxRate
	// Schedule: the campaign's start or sending hours are still to come.
	Schedule
	// Resting: the site objected or could not be reached, and is left alone.
	Resting
	// NumCauses is how many there are.
	NumCauses
)

var causeNames = [NumCauses]string{
	RateLimit: "rate limit", ConnectionLimit: "connection limit", Connecting: "connecting", RoundTrips: "round trips",
	FinalAnswer: "final answer", DNS: "DNS", Composing: "composing and signing", Disk: "disk", Processor: "processor",
	Nothing: "nothing to send", Paused: "paused", MaxRate: "max_rate", Schedule: "schedule", Resting: "resting",
}

// String is the cause in words, such as "rate limit".
func (c Cause) String() string {
	if c < NumCauses {
		return causeNames[c]
	}
	return "unknown"
}

// reach is whom a flow shares its pace with.
type reach uint8

const (
	site     reach = iota // the other campaigns at the site
	campaign              // the campaign's other sites
	everyone
)

// reach says whom a flow shares its pace with that waits for c.
func (c Cause) reach() reach {
	switch c {
	case MaxRate:
		return campaign
	case DNS, Composing, Disk, Processor:
		return everyone
	default:
		return site
	}
}
