package trace

import (
	"net/netip"
	"time"
)

// Kind says what a line is. Closed set.
type Kind string

const (
	// Client: we said it. Server: they did.
	Client Kind = "client"
	Server Kind = "server"
	// Content: a message's content; Text has what was asked for of it.
	Content Kind = "content"
	// Note: no line, but what happened to the connection.
	Note Kind = "note"
)

// Line is one line of a dialogue.
type Line struct {
	At time.Time
	// Connection is a number within this process.
	Connection         uint64
	Site, Host, Source string
	Addr               netip.AddrPort
	TLS                string // such as "TLS1.3"; empty: plain
	Kind               Kind
	// Command is what is said, or what a reply answers, such as "RCPT".
	Command string
	// Text is the line without its end, secrets masked.
	Text string
	// Size is a content's in octets.
	Size int
	// Campaign and Recipient are whose message it is; empty: nobody's.
	Campaign, Recipient string
	// Dropped is how many lines there was no room for before this one.
	Dropped uint64
}
