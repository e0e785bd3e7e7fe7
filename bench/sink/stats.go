package sink

import (
	"sync/atomic"
	"time"
)

// Totals is what a sink, or one address of it, has seen.
type Totals struct {
	// Connections were opened; MaxConnections is the most open at once.
	Connections    int64 `json:"connections"`
	MaxConnections int64 `json:"max_connections"`
	// Secured had a complete STARTTLS.
	Secured int64 `json:"secured"`
	// Transactions is MAIL commands accepted.
	Transactions int64 `json:"transactions"`
	// Accepted and Refused are messages by the judgement on their end, whether
	// or not the answer could still be sent.
	Accepted int64 `json:"accepted"`
	Refused  int64 `json:"refused"`
	// Recipients and RefusedRecipients are RCPT commands by their answer.
	Recipients        int64 `json:"recipients"`
	RefusedRecipients int64 `json:"refused_recipients"`
	// Bytes arrived, commands and content; ContentBytes is content alone.
	Bytes        int64 `json:"bytes"`
	ContentBytes int64 `json:"content_bytes"`
	// Commands is command lines; Reads is how often data arrived that held at
	// least one; Flights is those of them that came when no reply was
	// outstanding: the round trips that the client waited for.
	Commands int64 `json:"commands"`
	Reads    int64 `json:"reads"`
	Flights  int64 `json:"flights"`
	// Improper is commands sent ahead where the client had to wait (RFC 2920).
	Improper int64 `json:"improper"`
	// Discarded is octets of chunks that belonged to no transaction (RFC 3030).
	Discarded int64 `json:"discarded"`
}

// Stats is a snapshot.
type Stats struct {
	Totals
	// First and Last are when the first and the last message were accepted,
	// since the sink's start.
	First time.Duration `json:"first_ns"`
	Last  time.Duration `json:"last_ns"`
	// Listeners has the same counts for each address that had a connection.
	Listeners map[string]Totals `json:"listeners"`
}

// tally is a connection's counts since it last reported; loop only.
type tally struct {
	secured, transactions, accepted, refused, recipients, refusedRecipients int64
	bytes, contentBytes, commands, reads, flights, improper, discarded      int64
}

// counters is tallies summed up. Any goroutine.
type counters struct {
	connections, open, maxOpen                                              atomic.Int64
	secured, transactions, accepted, refused, recipients, refusedRecipients atomic.Int64
	bytes, contentBytes, commands, reads, flights, improper, discarded      atomic.Int64
}

func add(c *atomic.Int64, n int64) {
	if n != 0 {
		c.Add(n)
	}
}

// report adds a tally; the caller clears it.
func (c *counters) report(t *tally) {
	add(&c.secured, t.secured)
	add(&c.transactions, t.transactions)
	add(&c.accepted, t.accepted)
	add(&c.refused, t.refused)
	add(&c.recipients, t.recipients)
	add(&c.refusedRecipients, t.refusedRecipients)
	add(&c.bytes, t.bytes)
	add(&c.contentBytes, t.contentBytes)
	add(&c.commands, t.commands)
	add(&c.reads, t.reads)
	add(&c.flights, t.flights)
	add(&c.improper, t.improper)
	add(&c.discarded, t.discarded)
}

func (c *counters) opened() {
	c.connections.Add(1)
	n := c.open.Add(1)
	for {
		top := c.maxOpen.Load()
		if n <= top || c.maxOpen.CompareAndSwap(top, n) {
			return
		}
	}
}

func (c *counters) closed() { c.open.Add(-1) }

func (c *counters) totals() Totals {
	return Totals{
		Connections: c.connections.Load(), MaxConnections: c.maxOpen.Load(), Secured: c.secured.Load(),
		Transactions: c.transactions.Load(), Accepted: c.accepted.Load(), Refused: c.refused.Load(),
		Recipients: c.recipients.Load(), RefusedRecipients: c.refusedRecipients.Load(),
		Bytes: c.bytes.Load(), ContentBytes: c.contentBytes.Load(), Commands: c.commands.Load(),
		Reads: c.reads.Load(), Flights: c.flights.Load(), Improper: c.improper.Load(), Discarded: c.discarded.Load(),
	}
}

func (t *Totals) add(o Totals) {
	t.Connections += o.Connections
	t.Secured += o.Secured
	t.Transactions += o.Transactions
	t.Accepted += o.Accepted
	t.Refused += o.Refused
	t.Recipients += o.Recipients
	t.RefusedRecipients += o.RefusedRecipients
	t.Bytes += o.Bytes
	t.ContentBytes += o.ContentBytes
	t.Commands += o.Commands
	t.Reads += o.Reads
	t.Flights += o.Flights
	t.Improper += o.Improper
	t.Discarded += o.Discarded
}
