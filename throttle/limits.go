package throttle

import "time"

// Limits are the static bounds for one site and source. The zero value of a
// field means "no limit", except where said.
type Limits struct {
	// Connections is the most open at once; 0 takes DefaultConnections.
	Connections int
	// ConnectionRate bounds new connections.
	ConnectionRate Rate
	// MessageRate bounds messages begun.
	MessageRate Rate
	// MessagesPerConnection closes a connection after so many; 0 takes
	// DefaultMessagesPerConnection.
	MessagesPerConnection int
}

// Defaults without any rule.
const (
	DefaultConnections           = 20
	DefaultMessagesPerConnection = 1000
)

// Rate is so many per time: 100 per second, 5000 per hour. Zero Count: no limit.
type Rate struct {
	Count float64
	Per   time.Duration
}
