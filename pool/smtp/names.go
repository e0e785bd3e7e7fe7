package smtp

import "strconv"

var commandNames = [...]string{"", "connect", "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "end of message", "RSET", "QUIT"}

// String is the command as people know it.
func (c Command) String() string { return name(commandNames[:], int(c)) }

var fateNames = [...]string{"", "delivered", "refused", "uncertain", "not attempted"}

// String is the fate in words.
func (f Fate) String() string { return name(fateNames[:], int(f)) }

var gearNames = [...]string{"auto", "lock-step", "pipelining", "chunking"}

// String is the gear as the configuration spells it.
func (g Gear) String() string { return name(gearNames[:], int(g)) }

var anomalyNames = [...]string{"", "accepted after refusal"}

// String is the anomaly in words; empty for none.
func (a Anomaly) String() string { return name(anomalyNames[:], int(a)) }

var eventNames = [...]string{"", "ready", "handshake", "settled", "gear changed", "failed", "closed"}

// String is the kind in words.
func (k EventKind) String() string { return name(eventNames[:], int(k)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// String is "5.1.1"; empty where the server gave none.
func (e EnhancedCode) String() string {
	if e == (EnhancedCode{}) {
		return ""
	}
	var b [11]byte
	dst := strconv.AppendUint(b[:0], uint64(e[0]), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(e[1]), 10)
	dst = append(dst, '.')
	return string(strconv.AppendUint(dst, uint64(e[2]), 10))
}

// String is the reply on one or more lines, as "550 5.1.1 no such user".
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	s := strconv.Itoa(r.Code)
	if e := r.Enhanced.String(); e != "" {
		s += " " + e
	}
	if r.Text != "" {
		s += " " + r.Text
	}
	return s
}
