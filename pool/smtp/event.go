package smtp

// EventKind tells what an Event says.
type EventKind uint8

const (
	EventUnset EventKind = iota
	// Ready: greeting and EHLO are done; messages may be sent. Event.Gear,
	// Event.Window and Event.Capabilities are set.
	Ready
	// Handshake: STARTTLS was accepted. The owner must start TLS on the
	// connection, refuse bytes that arrived behind the reply, and call Secured.
	Handshake
	// Settled: a message has its fate: Event.Message and Event.Outcome.
	Settled
	// GearChanged: what the server showed made the session step down;
	// Event.Gear and Event.Window are the most that may be used from now on,
	// Event.Reason says why. To be remembered for the host.
	GearChanged
	// Failed: the session ended before Ready, for a reason that concerns the
	// host: Event.Outcome holds Command, Reply, Err. The owner may close the
	// connection at once or let the QUIT go out and wait for Closed.
	Failed
	// Closed: the dialogue is over (QUIT answered, 421, or fatal); the owner
	// closes the connection. Always the last event. Event.Outcome holds what
	// ended it: Reply for a 421, Err for anything but an orderly end.
	Closed
)

// Event is something the owner must act upon, in order.
type Event struct {
	Kind         EventKind
	Message      *Message
	Outcome      Outcome
	Gear         Gear
	Window       int
	Reason       string
	Capabilities Capabilities
}
