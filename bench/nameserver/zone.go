package nameserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/miekg/dns"
)

// Zone is what a server knows. Names are written without the last dot.
type Zone struct {
	// TTL of records in seconds; default 300. NegativeTTL is for answers that
	// something does not exist (RFC 2308); default 60.
	TTL         uint32 `yaml:"ttl"`
	NegativeTTL uint32 `yaml:"negative_ttl"`
	// Names, where "*.example.test" stands for all names below that have no
	// entry of their own.
	Names map[string]Name `yaml:"names"`
	// Generate makes up names that Names does not have.
	Generate []Generator `yaml:"generate"`
}

// Name is one name's records, or its misbehaviour.
type Name struct {
	// MX are "preference host"; "0 ." is a null MX (RFC 7505).
	MX    []string `yaml:"mx"`
	A     []string `yaml:"a"`
	AAAA  []string `yaml:"aaaa"`
	TXT   []string `yaml:"txt"`
	CNAME string   `yaml:"cname"`
	// Answer instead of records: nxdomain, servfail, refused, or drop (no
	// answer at all).
	Answer string `yaml:"answer"`
	// Delay comes before the answer.
	Delay time.Duration `yaml:"delay"`
}

// Generator makes the domains d0.SUFFIX to d(Domains-1).SUFFIX. Domain n has the
// MX mx(n modulo Hosts).SUFFIX, and mx(k).SUFFIX the k-th address of Network
// after its first.
type Generator struct {
	Suffix  string `yaml:"suffix"`
	Domains int    `yaml:"domains"`
	// Hosts is how many there are; default one for each domain.
	Hosts int `yaml:"hosts"`
	// Network is an IPv4 network such as 127.1.0.0/16 with room for all hosts.
	Network string `yaml:"network"`
	// Delay comes before each answer.
	Delay time.Duration `yaml:"delay"`
}

// LoadZone reads a zone from a YAML file; unknown keys are errors.
func LoadZone(path string) (*Zone, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	z := new(Zone)
	if err := yaml.UnmarshalWithOptions(text, z, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("zone %s: %w", path, err)
	}
	if _, err := compile(z); err != nil {
		return nil, fmt.Errorf("zone %s: %w", path, err)
	}
	return z, nil
}

// table is a Zone made ready. Immutable.
type table struct {
	names    map[string]*entry
	above    map[string]bool // names that exist only since there are names below
	ranges   []span
	ttl      uint32
	negative uint32
}

type entry struct {
	records []dns.RR
	answer  string
	delay   time.Duration
}

type span struct {
	suffix  string // "bulk.test."
	domains int
	hosts   int
	base    uint32
	delay   time.Duration
}

func compile(z *Zone) (*table, error) {
	t := &table{names: map[string]*entry{}, above: map[string]bool{}, ttl: z.TTL, negative: z.NegativeTTL}
	if t.ttl == 0 {
		t.ttl = 300
	}
	if t.negative == 0 {
		t.negative = 60
	}
	var errs []error
	for name, n := range z.Names {
		fqdn := dns.CanonicalName(name)
		e, err := t.entry(fqdn, n)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		t.names[fqdn] = e
		for up, ok := parent(fqdn); ok; up, ok = parent(up) {
			t.above[up] = true
		}
	}
	for _, g := range z.Generate {
		s, err := newSpan(g)
		if err != nil {
			errs = append(errs, fmt.Errorf("generate %s: %w", g.Suffix, err))
			continue
		}
		t.ranges = append(t.ranges, s)
	}
	return t, errors.Join(errs...)
}

func parent(fqdn string) (string, bool) {
	i, end := dns.NextLabel(fqdn, 0)
	if end || i >= len(fqdn) {
		return "", false
	}
	return fqdn[i:], true
}

func (t *table) entry(fqdn string, n Name) (*entry, error) {
	e := &entry{answer: n.Answer, delay: n.Delay}
	switch n.Answer {
	case "", "nxdomain", "servfail", "refused", "drop":
	default:
		return nil, fmt.Errorf("answer %q is none of nxdomain, servfail, refused, drop", n.Answer)
	}
	if n.Delay < 0 {
		return nil, fmt.Errorf("delay %v is negative", n.Delay)
	}
	head := dns.RR_Header{Name: fqdn, Class: dns.ClassINET, Ttl: t.ttl}
	for _, m := range n.MX {
		pref, host, ok := strings.Cut(m, " ")
		p, err := strconv.ParseUint(pref, 10, 16)
		if _, valid := dns.IsDomainName(host); !ok || err != nil || !valid {
			return nil, fmt.Errorf("mx %q is not \"preference host\"", m)
		}
		head.Rrtype = dns.TypeMX
		e.records = append(e.records, &dns.MX{Hdr: head, Preference: uint16(p), Mx: dns.CanonicalName(host)})
	}
	for _, a := range n.A {
		ip, err := netip.ParseAddr(a)
		if err != nil || !ip.Is4() {
			return nil, fmt.Errorf("a %q is no IPv4 address", a)
		}
		head.Rrtype = dns.TypeA
		e.records = append(e.records, &dns.A{Hdr: head, A: ip.AsSlice()})
	}
	for _, a := range n.AAAA {
		ip, err := netip.ParseAddr(a)
		if err != nil || !ip.Is6() {
			return nil, fmt.Errorf("aaaa %q is no IPv6 address", a)
		}
		head.Rrtype = dns.TypeAAAA
		e.records = append(e.records, &dns.AAAA{Hdr: head, AAAA: ip.AsSlice()})
	}
	for _, txt := range n.TXT {
		head.Rrtype = dns.TypeTXT
		var parts []string
		for c := range slices.Chunk([]byte(txt), 255) {
			parts = append(parts, string(c))
		}
		e.records = append(e.records, &dns.TXT{Hdr: head, Txt: parts})
	}
	if n.CNAME != "" {
		if len(e.records) > 0 {
			return nil, errors.New("a cname stands alone (RFC 1034 3.6.2)")
		}
		if _, ok := dns.IsDomainName(n.CNAME); !ok {
			return nil, fmt.Errorf("cname %q is no name", n.CNAME)
		}
		head.Rrtype = dns.TypeCNAME
		e.records = append(e.records, &dns.CNAME{Hdr: head, Target: dns.CanonicalName(n.CNAME)})
	}
	return e, nil
}

func newSpan(g Generator) (span, error) {
	if g.Hosts == 0 {
		g.Hosts = g.Domains
	}
	net, err := netip.ParsePrefix(g.Network)
	switch {
	case g.Suffix == "":
		return span{}, errors.New("no suffix")
	case g.Domains < 1 || g.Hosts < 1:
		return span{}, errors.New("domains and hosts must be at least 1")
	case err != nil || !net.Addr().Is4():
		return span{}, fmt.Errorf("network %q is no IPv4 network", g.Network)
	case float64(g.Hosts) > math.Pow(2, float64(32-net.Bits()))-2:
		return span{}, fmt.Errorf("network %s has no room for %d hosts", g.Network, g.Hosts)
	case g.Delay < 0:
		return span{}, fmt.Errorf("delay %v is negative", g.Delay)
	}
	base := net.Masked().Addr().As4()
	return span{dns.CanonicalName(g.Suffix), g.Domains, g.Hosts, binary.BigEndian.Uint32(base[:]) + 1, g.Delay}, nil
}

// lookup finds a name's entry; nil: it does not exist, or only as a parent.
func (t *table) lookup(fqdn string) (e *entry, exists bool) {
	if e := t.names[fqdn]; e != nil {
		return e, true
	}
	for i := range t.ranges {
		if e := t.ranges[i].lookup(fqdn, t.ttl); e != nil {
			return e, true
		}
	}
	if t.above[fqdn] {
		return nil, true
	}
	for up, ok := parent(fqdn); ok; up, ok = parent(up) {
		if wild := t.names["*."+up]; wild != nil {
			e := &entry{answer: wild.answer, delay: wild.delay}
			for _, rr := range wild.records {
				rr = dns.Copy(rr)
				rr.Header().Name = fqdn
				e.records = append(e.records, rr)
			}
			return e, true
		}
	}
	return nil, false
}

// lookup makes up what the generator says of a name; nil: nothing.
func (s *span) lookup(fqdn string, ttl uint32) *entry {
	label, ok := strings.CutSuffix(fqdn, "."+s.suffix)
	if !ok || label == "" {
		return nil
	}
	head := dns.RR_Header{Name: fqdn, Class: dns.ClassINET, Ttl: ttl}
	if k, ok := numbered(label, "mx", s.hosts); ok {
		head.Rrtype = dns.TypeA
		return &entry{records: []dns.RR{&dns.A{Hdr: head, A: binary.BigEndian.AppendUint32(nil, s.base+uint32(k))}}, delay: s.delay}
	}
	if n, ok := numbered(label, "d", s.domains); ok {
		head.Rrtype = dns.TypeMX
		host := "mx" + strconv.Itoa(n%s.hosts) + "." + s.suffix
		return &entry{records: []dns.RR{&dns.MX{Hdr: head, Preference: 10, Mx: host}}, delay: s.delay}
	}
	return nil
}

// numbered reads a label such as mx17, if its number is below limit.
func numbered(label, prefix string, limit int) (int, bool) {
	digits, ok := strings.CutPrefix(label, prefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n < limit && strconv.Itoa(n) == digits
}
