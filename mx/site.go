package mx

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed sites.txt
var builtinSites string

// SiteRule names the site of every MX host at or below a suffix.
type SiteRule struct {
	// Suffix is a host name or the end of one, whole labels: "google.com".
	Suffix string
	// Site is the name, such as "google".
	Site string
}

// BuiltinSites are the rules that every resolver has, after its own.
func BuiltinSites() []SiteRule {
	rules, err := ParseSites(builtinSites)
	if err != nil {
		panic("mx: sites.txt: " + err.Error())
	}
	return rules
}

// ParseSites reads rules, one a line: SUFFIX SITE. Empty lines, and lines that
// begin with #, are left out. The error lists every line that is not a rule.
func ParseSites(text string) ([]SiteRule, error) {
	var rules []SiteRule
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			errs = append(errs, fmt.Errorf("line %d: %d words, want a suffix and a site", n, len(fields)))
			continue
		}
		rule := SiteRule{Suffix: fields[0], Site: fields[1]}
		if err := rule.check(); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		rules = append(rules, rule)
	}
	return rules, errors.Join(errs...)
}

func (r SiteRule) check() error {
	if _, ok := canonicalName(strings.TrimPrefix(r.Suffix, ".")); !ok {
		return fmt.Errorf("site rule: suffix %q is not a host name", r.Suffix)
	}
	if r.Site == "" || len(r.Site) > maxSiteName || strings.ContainsFunc(r.Site, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return fmt.Errorf("site rule %s: site %q must be one word of 1 to %d octets", r.Suffix, r.Site, maxSiteName)
	}
	return nil
}

// maxSiteName is where the name of a large set of hosts is cut, in octets.
const maxSiteName = 100

// siteNames finds sites by suffix. Read-only once made.
type siteNames struct {
	bySuffix map[string]rankedSite
}

// rankedSite is a rule's site with the rule's place: the lowest wins.
type rankedSite struct {
	rank int
	site string
}

func newSiteNames(rules []SiteRule) (siteNames, error) {
	s := siteNames{bySuffix: make(map[string]rankedSite, len(rules))}
	var errs []error
	for i, r := range rules {
		if err := r.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		suffix, _ := canonicalName(strings.TrimPrefix(r.Suffix, "."))
		if _, taken := s.bySuffix[suffix]; !taken {
			s.bySuffix[suffix] = rankedSite{rank: i, site: r.Site}
		}
	}
	return s, errors.Join(errs...)
}

// byRule is the site of the first rule that matches one of the hosts.
func (s siteNames) byRule(hosts []string) (site string, ok bool) {
	best := rankedSite{rank: -1}
	for _, suffix := range hosts {
		for {
			if r, found := s.bySuffix[suffix]; found && (best.rank < 0 || r.rank < best.rank) {
				best = r
			}
			_, parent, more := strings.Cut(suffix, ".")
			if !more {
				break
			}
			suffix = parent
		}
	}
	return best.site, best.rank >= 0
}

// name is the site of a domain's published targets: the rules look at the best
// preference alone, so that a backup host elsewhere does not rename a site;
// without a rule the whole set is the name, whatever its order.
func (s siteNames) name(targets []target) string {
	best, all := make([]string, 0, len(targets)), make([]string, 0, len(targets))
	for _, t := range targets {
		if t.preference == targets[0].preference {
			best = append(best, t.name)
		}
		all = append(all, t.name)
	}
	if site, ok := s.byRule(best); ok {
		return site
	}
	return setName(all)
}

// setName is a set's names, sorted and joined; long ones are cut and made
// unique by a hash.
func setName(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	joined := strings.Join(names, ",")
	if len(joined) <= maxSiteName {
		return joined
	}
	sum := sha256.Sum256([]byte(joined))
	tail := "+" + strconv.Itoa(len(names)-1) + "~" + hex.EncodeToString(sum[:8])
	return names[0][:min(len(names[0]), maxSiteName-len(tail))] + tail
}

// routeKey names what connections may be shared by: hosts with preferences.
func routeKey(targets []target) string {
	parts := make([]string, len(targets))
	for i, t := range targets {
		parts[i] = t.name + ":" + strconv.Itoa(int(t.preference))
	}
	return setName(parts)
}
