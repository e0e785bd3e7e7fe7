package smtp

// Config is what a session must know before the greeting.
type Config struct {
	// Hello is the name given in EHLO (RFC 5321 4.1.1.1).
	Hello string
	// TopGear is the highest gear allowed; GearAuto sets no limit.
	TopGear Gear
	// Window is the most messages that may be unanswered at once in the
	// Chunking gear: 1 to MaxWindow.
	Window int
	// TLS says whether STARTTLS is used.
	TLS TLSMode
	// Secured: the transport is already protected (after STARTTLS the owner
	// calls [Session.Secured] instead).
	Secured bool
}

// TLSMode is the policy for STARTTLS (RFC 3207).
type TLSMode uint8

const (
	// TLSOpportunistic uses STARTTLS where it is offered.
	TLSOpportunistic TLSMode = iota
	TLSNone
	// TLSRequire ends the session where STARTTLS is missing or refused.
	TLSRequire
)

// MaxWindow is the largest Config.Window.
const MaxWindow = 128

// EventKind tells what an Event says.
type EventKind uint8

const (
	EventUnset EventKind = iota
	// Ready: greeting and EHLO are done; messages may be sent. Event.Gear and
	// Event.Capabilities are set.
	Ready
	// Handshake: STARTTLS was accepted. The owner must start TLS on the
	// connection, refuse bytes that arrived behind the reply, and call Secured.
	Handshake
	// Settled: a message has its fate: Event.Message and Event.Outcome.
	Settled
	// GearChanged: what the server showed made the session step down;
	// Event.Gear is the new one, Event.Reason says why. To be remembered for the host.
	GearChanged
	// Failed: the session ended before or between messages for a reason that
	// concerns the host: Event.Outcome holds Command, Reply, Err.
	Failed
	// Closed: the dialogue is over (QUIT answered, 421, or fatal); the owner
	// closes the connection. Always the last event.
	Closed
)

// Event is something the owner must act upon, in order.
type Event struct {
	Kind         EventKind
	Message      *Message
	Outcome      Outcome
	Gear         Gear
	Reason       string
	Capabilities Capabilities
}
