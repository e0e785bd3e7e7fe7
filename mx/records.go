package mx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxAliases bounds a chain of CNAMEs, within answers and across them.
	maxAliases = 10
	// maxRecords bounds what is looked at of one answer.
	maxRecords = 200
)

var errAliases = fmt.Errorf("chain of more than %d CNAMEs, or a loop", maxAliases)

// found is what the servers know of a name and type, at the end of its CNAMEs.
type found struct {
	// exists false: NXDOMAIN. True with no records: NODATA (RFC 2308 2.2).
	exists  bool
	records []dns.RR
	// ttl is the least of chain and records, or the negative one.
	ttl time.Duration
}

// lookup asks for a name's records and follows its CNAMEs (RFC 1034 4.3.2).
// Errors are temporary.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) (found, error) {
	ttl := r.opts.MaxTTL
	aliases := 0
	for {
		msg, err := r.exchange(ctx, name, qtype)
		if err != nil {
			return found{}, fmt.Errorf("%s %s: %w", dns.TypeToString[qtype], name, err)
		}
		answer := msg.Answer[:min(len(msg.Answer), maxRecords)]
		end := name
		for {
			alias := aliasOf(answer, end)
			if alias == nil {
				break
			}
			if aliases++; aliases > maxAliases {
				return found{}, fmt.Errorf("%s %s: %w", dns.TypeToString[qtype], name, errAliases)
			}
			end = strings.TrimSuffix(alias.Target, ".")
			ttl = min(ttl, lifetime(alias.Hdr.Ttl))
			if end == "" {
				return found{}, fmt.Errorf("%s %s: CNAME to nothing", dns.TypeToString[qtype], name)
			}
		}
		f := found{exists: true}
		for _, rr := range answer {
			if h := rr.Header(); h.Rrtype == qtype && h.Class == dns.ClassINET && sameName(h.Name, end) {
				f.records = append(f.records, rr)
				ttl = min(ttl, lifetime(h.Ttl))
			}
		}
		if len(f.records) > 0 {
			f.ttl = ttl
			return f, nil
		}
		negative, authority := negativeTTL(msg)
		if !authority {
			negative = r.opts.MinTTL
		}
		f.ttl = min(ttl, negative, r.opts.MaxNegativeTTL)
		if msg.Rcode == dns.RcodeNameError {
			f.exists = false
			return f, nil
		}
		// A server that stops at the alias without saying that nothing is
		// behind it has to be asked on.
		if sameName(end, name) || authority {
			return f, nil
		}
		if _, ok := canonicalName(end); !ok {
			return found{}, errors.New("CNAME to " + end + ", which is no host name")
		}
		name = end
	}
}

func aliasOf(answer []dns.RR, name string) *dns.CNAME {
	for _, rr := range answer {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && sameName(c.Hdr.Name, name) {
			return c
		}
	}
	return nil
}

// negativeTTL is how long "there is none" holds (RFC 2308 5).
func negativeTTL(msg *dns.Msg) (ttl time.Duration, ok bool) {
	for _, rr := range msg.Ns {
		if soa, is := rr.(*dns.SOA); is {
			return lifetime(min(soa.Hdr.Ttl, soa.Minttl)), true
		}
	}
	return 0, false
}

// lifetime reads a TTL; one with its highest bit set is zero (RFC 2181 8).
func lifetime(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
