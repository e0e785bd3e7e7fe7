package smtp

// Config is what a session must know before the greeting.
type Config struct {
	// Hello is the name given in EHLO (RFC 5321 4.1.1.1): printable ASCII
	// without spaces. With anything else the session fails with ErrHello.
	Hello string
	// TopGear is the highest gear allowed; GearAuto sets no limit.
	TopGear Gear
	// Window is the most messages that may be unanswered at once in the
	// Chunking gear: 1 to MaxWindow, 0 takes DefaultWindow; more than
	// MaxWindow counts as MaxWindow.
	Window int
	// TLS says whether STARTTLS is used.
	TLS TLSMode
	// Secured: the transport is already protected (after STARTTLS the owner
	// calls [Session.Secured] instead).
	Secured bool
}

// Bounds of Config.Window.
const (
	MaxWindow     = 128
	DefaultWindow = 16
)

// TLSMode is the policy for STARTTLS (RFC 3207).
type TLSMode uint8

const (
	// TLSOpportunistic uses STARTTLS where it is offered.
	TLSOpportunistic TLSMode = iota
	TLSNone
	// TLSRequire ends the session where STARTTLS is missing or refused.
	TLSRequire
)

// window is Config.Window within its bounds.
func (c *Config) window() int {
	if c.Window < 1 {
		return DefaultWindow
	}
	return min(c.Window, MaxWindow)
}

// helloOK refuses what could end the EHLO line early or give it a parameter.
func helloOK(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return name != ""
}
