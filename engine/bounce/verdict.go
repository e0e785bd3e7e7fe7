package bounce

import (
	"time"

	"github.com/penstock-mail/penstock/throttle"
)

// Verdict is what a reply, or its absence, means.
type Verdict struct {
	Class  Class
	Scope  Scope
	Action Action
	// RetryAfter is the server's own hint, within MinHint and MaxHint; 0: none.
	// The recipient should not be tried earlier.
	RetryAfter time.Duration
	// Signal is for the limiter of the source and site; Kind KindNone: the
	// answer does not concern us as a sender (Limiter.Delivered counts it).
	Signal throttle.Signal
	// BreakerKey is set for a policy refusal (5xx) that counts for the breaker,
	// whatever the Action: equal strings are the same reason, whoever the
	// recipient was.
	BreakerKey string
}

// Class is the kind of answer. Closed set; String gives the names of rules.txt.
type Class uint8

const (
	ClassUnset Class = iota
	Accepted
	UnknownRecipient // no such mailbox, or never valid
	Disabled         // the mailbox exists and takes no mail
	MailboxFull
	RecipientBusy // this one recipient, for now
	Greylisted
	Policy          // refused by rule, without saying more
	Content         // taken for spam, or a part that is not allowed
	Auth            // SPF, DKIM, DMARC, reverse DNS
	Sender          // the envelope sender is not liked
	TooLarge        // the message, for this server
	RateLimited     // messages come too fast
	ConnectionLimit // too many connections
	Reputation      // the source is blocked or deferred for what it did
	Busy            // the server is overloaded or closing down
	SessionEnd      // this connection has carried enough; the next may go on
	Relay           // this host does not serve the domain
	DNS             // the destination cannot be found, or forbids mail
	TLS             // protection is needed, or could not be had
	Network         // no reply: connection refused, lost or timed out
	Lost            // the connection was lost after the last byte
	Protocol        // the server did not understand, or made no sense
	Other
	numClasses = int(Other) + 1
)

// Scope is what an answer is about.
type Scope uint8

const (
	ScopeUnset Scope = iota
	Recipient
	Message // this message, sender or campaign; the next recipient's is alike
	SourceAndSite
	Site
	Domain
)

// Action is what to do with the recipient.
type Action uint8

const (
	ActionUnset Action = iota
	// Deliver: record it as delivered.
	Deliver
	// Bounce: permanent for this recipient.
	Bounce
	// Retry: deferred; an attempt was made and counts.
	Retry
	// Requeue: back to the queue at no cost. Signal keeps the site from being
	// asked again at once.
	Requeue
	// Doubt: it may have been sent; the campaign's policy decides.
	Doubt
)

// trait is what follows from a class, before command and code are looked at.
type trait struct {
	name      string
	scope     Scope
	permanent Action // on a 5xx to RCPT or to the message's end
	signal    throttle.Kind
	breaker   bool // a 5xx counts for the breaker
}

var traits = [numClasses]trait{
	ClassUnset:       {name: "unset"},
	Accepted:         {name: "accepted", scope: Recipient, permanent: Deliver},
	UnknownRecipient: {name: "unknown-recipient", scope: Recipient, permanent: Bounce},
	Disabled:         {name: "disabled", scope: Recipient, permanent: Bounce},
	MailboxFull:      {name: "mailbox-full", scope: Recipient, permanent: Bounce},
	RecipientBusy:    {name: "recipient-busy", scope: Recipient, permanent: Retry},
	Greylisted:       {name: "greylisted", scope: Recipient, permanent: Retry},
	Policy:           {name: "policy", scope: Message, permanent: Bounce, breaker: true},
	Content:          {name: "content", scope: Message, permanent: Bounce, breaker: true},
	Auth:             {name: "auth", scope: Message, permanent: Retry, breaker: true},
	Sender:           {name: "sender", scope: Message, permanent: Retry, breaker: true},
	TooLarge:         {name: "too-large", scope: Message, permanent: Bounce},
	RateLimited:      {name: "rate-limited", scope: SourceAndSite, permanent: Retry, signal: throttle.TooFast},
	ConnectionLimit:  {name: "connection-limit", scope: SourceAndSite, permanent: Retry, signal: throttle.TooMany},
	Reputation:       {name: "reputation", scope: SourceAndSite, permanent: Retry, signal: throttle.Reputation, breaker: true},
	Busy:             {name: "busy", scope: Site, permanent: Retry, signal: throttle.Busy},
	SessionEnd:       {name: "session-end", scope: SourceAndSite, permanent: Retry},
	Relay:            {name: "relay", scope: Domain, permanent: Bounce},
	DNS:              {name: "dns", scope: Domain, permanent: Bounce},
	TLS:              {name: "tls", scope: SourceAndSite, permanent: Retry, breaker: true},
	Network:          {name: "network", scope: Site, permanent: Retry},
	Lost:             {name: "lost", scope: Recipient, permanent: Doubt},
	Protocol:         {name: "protocol", scope: Site, permanent: Retry},
	Other:            {name: "other", scope: Recipient, permanent: Bounce},
}

func (c Class) String() string {
	if int(c) < numClasses {
		return traits[c].name
	}
	return "unknown"
}

// ParseClass is the reverse of Class.String.
func ParseClass(name string) (c Class, ok bool) {
	for i := 1; i < numClasses; i++ {
		if traits[i].name == name {
			return Class(i), true
		}
	}
	return ClassUnset, false
}

var (
	scopeNames  = [...]string{"unset", "recipient", "message", "source+site", "site", "domain"}
	actionNames = [...]string{"unset", "deliver", "bounce", "retry", "requeue", "doubt"}
)

func (s Scope) String() string {
	if int(s) < len(scopeNames) {
		return scopeNames[s]
	}
	return "unknown"
}

func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown"
}
