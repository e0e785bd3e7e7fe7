package sink

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// profile is a Server made ready: everything that can be worked out once. It is
// immutable but for the counters of its rules, which look after themselves.
type profile struct {
	listen        []listenMatch
	ext           extensions
	size          int64
	latency       time.Duration
	think         time.Duration
	drip          time.Duration
	tls           string
	strict        bool
	takeRefused   bool
	maxMessages   int
	maxRecipients int
	connections   int
	connRate      Rate
	msgRate       Rate
	greylist      *greylist
	answers       [numAnswers]reply
	greeting      reply
	helo          reply
	ehlo          reply
	ehloSecured   reply
	rules         [numPhases][]*rule
	// envelope: addresses matter to a rule or the greylist.
	envelope bool
}

// rule is a Rule made ready.
type rule struct {
	index     uint64
	seed      uint64
	to, from  []pattern
	share     uint64 // the rule takes a hash at or below it
	shared    bool
	every     uint64
	first     uint64
	times     int
	reply     reply
	do        deed
	after     int64
	delay     time.Duration
	take      bool
	matches   atomic.Uint64
	mu        sync.Mutex
	perVictim map[string]int // guarded by mu
}

// compile makes a script's servers ready; the last profile is the one for
// connections that no server claims.
func compile(s *Script) []*profile {
	var index uint64
	ready := func(rules []Rule) []*rule {
		all := make([]*rule, len(rules))
		for i := range rules {
			index++
			all[i] = compileRule(&rules[i], s.Seed, index)
		}
		return all
	}
	common := ready(s.Rules)
	var all []*profile
	for i := range s.Servers {
		v := &s.Servers[i]
		p := compileServer(v)
		p.addRules(v.Rules, ready(v.Rules))
		p.addRules(s.Rules, common)
		all = append(all, p)
	}
	p := compileServer(&Server{})
	p.addRules(s.Rules, common)
	return append(all, p)
}

func (p *profile) addRules(given []Rule, ready []*rule) {
	for i, r := range ready {
		at, _ := phaseByName(given[i].At)
		p.rules[at] = append(p.rules[at], r)
		if len(r.to) > 0 || len(r.from) > 0 || r.shared || r.times > 0 {
			p.envelope = true
		}
	}
}

// compileServer expects a checked Server.
func compileServer(v *Server) *profile {
	p := &profile{
		ext: extDefault, size: v.Size, latency: v.Latency, think: v.Think, drip: v.Drip, tls: v.TLS, strict: v.Strict,
		takeRefused: v.AcceptAfterRefusal, maxMessages: v.MessagesPerConnection, maxRecipients: v.RecipientsPerMessage,
		connections: v.Connections, connRate: v.ConnectionRate, msgRate: v.MessageRate,
	}
	if p.size == 0 {
		p.size = 64 << 20
	}
	for _, l := range v.Listen {
		m, _ := parseListen(l)
		p.listen = append(p.listen, m)
	}
	if len(v.Extensions) > 0 {
		p.ext = 0
	}
	for _, e := range v.Extensions {
		bit, _ := extensionByName(e)
		p.ext |= bit
	}
	for _, e := range v.Without {
		bit, _ := extensionByName(e)
		p.ext &^= bit
	}
	name := v.Name
	if name == "" {
		name = "sink.test"
	}
	ready := func(t Text) reply {
		if p.ext&extEnhanced == 0 {
			t = withoutEnhanced(t)
		}
		r, _ := parseReply(t) // texts of our own or checked
		return r.spread(v.Multiline)
	}
	for i, t := range answerTexts {
		p.answers[i] = ready(t)
	}
	p.greeting = ready(Text("220 " + name + " ESMTP"))
	p.helo = ready(Text("250 " + name))
	p.ehlo = ehloReply(name, p.ext, p)
	p.ehloSecured = ehloReply(name, p.ext&^extStartTLS, p) // RFC 3207 4.2
	if g := v.Greylist; g != nil {
		p.envelope = true
		p.greylist = &greylist{after: g.After, seen: map[string]time.Duration{}, reply: p.answers[ansGreylist]}
		if g.Reply != "" {
			p.greylist.reply, _ = parseReply(g.Reply)
		}
	}
	return p
}

// withoutEnhanced drops the RFC 3463 code that our own texts begin with.
func withoutEnhanced(t Text) Text {
	if f := strings.SplitN(string(t), " ", 3); len(f) == 3 && strings.Count(f[1], ".") == 2 {
		return Text(f[0] + " " + f[2])
	}
	return t
}

func ehloReply(name string, ext extensions, p *profile) reply {
	lines := []string{"250 " + name}
	for _, e := range extNames {
		if ext&e.bit == 0 {
			continue
		}
		switch e.bit {
		case extSize:
			lines = append(lines, "SIZE "+strconv.FormatInt(p.size, 10))
		case extLimits: // RFC 9422
			l := "LIMITS"
			if p.maxMessages > 0 {
				l += " MAILMAX=" + strconv.Itoa(p.maxMessages)
			}
			if p.maxRecipients > 0 {
				l += " RCPTMAX=" + strconv.Itoa(p.maxRecipients)
			}
			lines = append(lines, l)
		default:
			lines = append(lines, e.name)
		}
	}
	r, _ := parseReply(Text(strings.Join(lines, "\n")))
	return r
}

// compileRule expects a checked Rule.
func compileRule(r *Rule, seed, index uint64) *rule {
	c := &rule{index: index, seed: seed, every: uint64(r.Every), first: uint64(r.First), times: r.Times, after: r.After, delay: r.Delay, take: r.Take}
	for _, t := range r.To {
		c.to = append(c.to, compilePattern(t))
	}
	for _, f := range r.From {
		c.from = append(c.from, compilePattern(f))
	}
	if r.Share != nil {
		c.shared = true
		c.share = uint64(*r.Share * (1 << 53)) // exact: a float has 53 bits
	}
	if r.Times > 0 {
		c.perVictim = map[string]int{}
	}
	c.do, _ = deedByName(r.Do)
	if r.Reply != "" {
		c.reply, _ = parseReply(r.Reply)
	}
	return c
}

// applies decides whether the rule takes this case. victim is the recipient, or
// what stands for one before RCPT; it must not be kept.
func (r *rule) applies(from, to, victim []byte) bool {
	if len(r.to) > 0 && !matchAny(r.to, to) || len(r.from) > 0 && !matchAny(r.from, from) {
		return false
	}
	if r.shared {
		var key [16]byte
		for i := range 8 {
			key[i], key[8+i] = byte(r.seed>>(8*i)), byte(r.index>>(8*i))
		}
		d := xxhash.New()
		d.Write(key[:])
		d.Write(victim)
		if d.Sum64()>>11 >= r.share {
			return false
		}
	}
	if r.times > 0 {
		r.mu.Lock()
		n := r.perVictim[string(victim)]
		if n < r.times {
			r.perVictim[string(victim)] = n + 1
		}
		r.mu.Unlock()
		if n >= r.times {
			return false
		}
	}
	if r.every > 0 || r.first > 0 {
		n := r.matches.Add(1)
		if r.every > 0 {
			if n%r.every != 0 {
				return false
			}
			n /= r.every
		}
		if r.first > 0 && n > r.first {
			return false
		}
	}
	return true
}

func (p *profile) serves(a netip.AddrPort) bool {
	for _, m := range p.listen {
		if m.matches(a) {
			return true
		}
	}
	return len(p.listen) == 0
}
