package smtp

import "sync"

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

// eventList is events until their owner takes them. Its memory serves all sessions
// in turn: a session's own, large enough for a window's answers, would be most of
// what a connection of a few messages allocates.
type eventList struct{ events []Event }

var eventLists = sync.Pool{New: func() any { return new(eventList) }}

// free gives the list back, empty.
func (l *eventList) free() {
	clear(l.events)
	l.events = l.events[:0]
	eventLists.Put(l)
}

// event is a new one at the end, to be written before the next call.
func (s *Session) event() *Event {
	if s.events == nil {
		s.events = eventLists.Get().(*eventList)
	}
	l := s.events
	l.events = append(l.events, Event{})
	return &l.events[len(l.events)-1]
}
