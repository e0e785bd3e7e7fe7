package bench

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/penstock-mail/penstock/bench/sink"
)

// Scenario is one row of the table: what is sent where, and what is asked of it.
type Scenario struct {
	// Name is the file's name without its ending.
	Name string `yaml:"-" json:"name"`
	// Like is a built-in scenario that this one is, but for what its file says.
	Like string `yaml:"like" json:"-"`
	// Order is where it stands among the others.
	Order int `yaml:"order" json:"-"`
	// About is one line for the report.
	About string `yaml:"about" json:"about"`
	// Recipients at so many Domains that lead to so many Sites; default 1 each.
	// More than one site goes through DNS and MX, one through a fixed route.
	Recipients int `yaml:"recipients" json:"recipients"`
	Domains    int `yaml:"domains" json:"domains"`
	Sites      int `yaml:"sites" json:"sites"`
	// Campaigns share the recipients, each Nth row to the Nth campaign, and are
	// sent side by side by penstock serve.
	Campaigns int `yaml:"campaigns" json:"campaigns,omitempty"`
	// Size of a message in octets, about.
	Size int `yaml:"size" json:"size"`
	// Gear is the highest allowed: lock-step, pipelining or chunking.
	Gear string `yaml:"gear" json:"gear"`
	// Connections per site, and messages on each; default 50 and no limit that
	// would be reached.
	Connections   int `yaml:"connections" json:"connections"`
	PerConnection int `yaml:"messages_per_connection" json:"messages_per_connection"`
	// InDoubt is max_in_doubt; 0: the sender's default.
	InDoubt int `yaml:"max_in_doubt" json:"max_in_doubt,omitempty"`
	// TLS is none (the default), opportunistic or require.
	TLS string `yaml:"tls" json:"tls"`
	// DKIM is the key that signs: rsa2048, ed25519, or empty for unsigned.
	DKIM string `yaml:"dkim" json:"dkim,omitempty"`
	// Latency is the sink's round-trip time; Sink is its whole script.
	Latency time.Duration  `yaml:"latency" json:"latency_ns,omitempty"`
	Sink    map[string]any `yaml:"sink" json:"-"`
	// Config and Campaign are laid over the files that the harness writes.
	Config   map[string]any `yaml:"config" json:"-"`
	Campaign map[string]any `yaml:"campaign" json:"-"`
	// LoadOnly: the recipients are read and nothing is sent.
	LoadOnly bool `yaml:"load_only" json:"load_only,omitempty"`
	// Stream sends while loading.
	Stream bool `yaml:"stream" json:"stream,omitempty"`
	// OnRequest: runs only when named, since it takes long or needs something.
	OnRequest bool `yaml:"on_request" json:"on_request,omitempty"`
	// Repeats is how often it runs; 0: as the harness is told.
	Repeats int `yaml:"repeats" json:"-"`
	// Env is added to the sender's environment, SinkLoops is the sink's event
	// loops; the harness's own options win.
	Env       map[string]string `yaml:"env" json:"env,omitempty"`
	SinkLoops int               `yaml:"sink_loops" json:"sink_loops,omitempty"`
	// Command is the sender's command line instead of Penstock's, as a template
	// each word; see Command. Needs names programs and modules without which it is
	// skipped; Build is a Go package of this repository that is the sender.
	Command []string `yaml:"command" json:"command,omitempty"`
	Needs   []string `yaml:"needs" json:"needs,omitempty"`
	Build   string   `yaml:"build" json:"build,omitempty"`
	// Signatures: nothing is sent; RSA signatures are made in memory, by Penstock's
	// signer, by crypto/rsa and by OpenSSL.
	Signatures bool `yaml:"signatures" json:"signatures,omitempty"`

	Target Target `yaml:"target" json:"target"`
}

// Target is the figure to reach; zero fields ask nothing.
type Target struct {
	// PerSecond is messages a second at least, PerConnection for each one.
	PerSecond     float64 `yaml:"messages_per_second" json:"messages_per_second,omitempty"`
	PerConnection float64 `yaml:"per_connection" json:"per_connection,omitempty"`
	// CPU is microseconds of the sender a message at most; LoadCPU of reading a
	// recipient.
	CPU     float64 `yaml:"cpu_us" json:"cpu_us,omitempty"`
	LoadCPU float64 `yaml:"load_cpu_us" json:"load_cpu_us,omitempty"`
	// PeakMB is resident memory at most, in 10^6 octets.
	PeakMB float64 `yaml:"peak_mb" json:"peak_mb,omitempty"`
	// Allocations a message at most, while sending.
	Allocations float64 `yaml:"allocations" json:"allocations,omitempty"`
	// CPU a message at most Times, or at least AtLeastTimes, that of the scenario
	// Of, in the same run.
	Times        float64 `yaml:"times" json:"times,omitempty"`
	AtLeastTimes float64 `yaml:"at_least_times" json:"at_least_times,omitempty"`
	Of           string  `yaml:"of" json:"of,omitempty"`
	// Of a scenario with signatures: the CPU of crypto/rsa and of OpenSSL, at
	// least so many times Penstock's.
	CryptoRSA float64 `yaml:"crypto_rsa_times" json:"crypto_rsa_times,omitempty"`
	OpenSSL   float64 `yaml:"openssl_times" json:"openssl_times,omitempty"`
}

//go:embed scenarios/*.yaml
var builtin embed.FS

// Scenarios returns the built-in ones by name, and any *.yaml files given.
// Without names: all built-in ones that are not on request. A name may end in *.
func Scenarios(names ...string) ([]*Scenario, error) {
	files, err := fs.Glob(builtin, "scenarios/*.yaml")
	if err != nil {
		return nil, err
	}
	var known []*Scenario
	for _, f := range files {
		text, err := fs.ReadFile(builtin, f)
		if err != nil {
			return nil, err
		}
		s, err := ParseScenario(f, text)
		if err != nil {
			return nil, err
		}
		known = append(known, s)
	}
	slices.SortStableFunc(known, func(a, b *Scenario) int { return a.Order - b.Order })
	if len(names) == 0 {
		return slices.DeleteFunc(known, func(s *Scenario) bool { return s.OnRequest }), nil
	}
	var picked []*Scenario
	for _, n := range names {
		if strings.HasSuffix(n, ".yaml") || strings.HasSuffix(n, ".yml") {
			text, err := os.ReadFile(n)
			if err != nil {
				return nil, fmt.Errorf("scenario: %w", err)
			}
			s, err := ParseScenario(n, text)
			if err != nil {
				return nil, err
			}
			picked = append(picked, s)
			continue
		}
		found := false
		for _, s := range known {
			if ok, err := path.Match(n, s.Name); err != nil {
				return nil, fmt.Errorf("scenario %q: %w", n, err)
			} else if ok {
				picked = append(picked, s)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario %q; there are: %s", n, strings.Join(namesOf(known), " "))
		}
	}
	return picked, nil
}

func namesOf(all []*Scenario) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

// ParseScenario reads a scenario file. Unknown keys and values out of range are
// errors, all of them at once.
func ParseScenario(file string, text []byte) (*Scenario, error) {
	s := &Scenario{Name: strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".yaml"), ".yml")}
	if err := s.read(text, 0); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", file, err)
	}
	s.fill()
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("scenario %s: "+format, append([]any{file}, args...)...))
	}
	if s.Recipients < 1 && !s.Signatures {
		wrong("recipients: %d is not positive", s.Recipients)
	}
	if s.Domains < s.Sites || s.Sites < 1 {
		wrong("sites: %d, with %d domains: each site needs one", s.Sites, s.Domains)
	}
	if s.Sites > 1<<20 {
		wrong("sites: %d is more than %d", s.Sites, 1<<20)
	}
	if s.Size < 1000 || s.Size > 10<<20 {
		wrong("size: %d is not in 1000 to %d", s.Size, 10<<20)
	}
	if !slices.Contains([]string{"auto", "lock-step", "pipelining", "chunking"}, s.Gear) {
		wrong("gear: %q is none of auto, lock-step, pipelining, chunking", s.Gear)
	}
	if !slices.Contains([]string{"none", "opportunistic", "require"}, s.TLS) {
		wrong("tls: %q is none of none, opportunistic, require", s.TLS)
	}
	if !slices.Contains([]string{"", "rsa2048", "ed25519"}, s.DKIM) {
		wrong("dkim: %q is none of rsa2048, ed25519", s.DKIM)
	}
	if s.Latency != 0 && s.Sink != nil {
		wrong("latency: say it in sink, which has the whole behaviour")
	}
	if text, err := yaml.Marshal(s.script()); err != nil {
		wrong("sink: %v", err)
	} else if _, err := sink.ParseScript("sink", text); err != nil {
		wrong("%v", err)
	}
	if (s.Target.Of == "") != (s.Target.Times == 0 && s.Target.AtLeastTimes == 0) {
		wrong("target: of and times (or at_least_times) belong together")
	}
	if s.Campaigns < 1 || s.Campaigns > s.Recipients && !s.Signatures {
		wrong("campaigns: %d, with %d recipients: each campaign needs one", s.Campaigns, s.Recipients)
	}
	if s.Campaigns > 1 && (s.LoadOnly || s.Stream || s.Command != nil) {
		wrong("campaigns: several are sent by penstock serve, to which load_only, stream and command mean nothing")
	}
	if s.Stream && s.LoadOnly {
		wrong("stream: nothing is sent while loading, since load_only sends nothing")
	}
	if s.Build != "" && s.Command == nil {
		wrong("build: without a command that uses {{.Built}}")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// read lays the file over the one that it is like. What is true of a file alone
// is not handed on: its place, its target, that it is on request.
func (s *Scenario) read(text []byte, depth int) error {
	var head struct {
		Like string `yaml:"like"`
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		return err
	}
	if head.Like != "" {
		if depth == 3 {
			return fmt.Errorf("like: %s is like too many others", head.Like)
		}
		below, err := builtin.ReadFile("scenarios/" + head.Like + ".yaml")
		if err != nil {
			return fmt.Errorf("like: there is no scenario %q", head.Like)
		}
		if err := s.read(below, depth+1); err != nil {
			return fmt.Errorf("like %s: %w", head.Like, err)
		}
		s.Target, s.OnRequest, s.About, s.Order = Target{}, false, "", 0
	}
	return yaml.UnmarshalWithOptions(text, s, yaml.Strict())
}

func (s *Scenario) fill() {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&s.Sites, 1)
	set(&s.Campaigns, 1)
	set(&s.Domains, s.Sites)
	set(&s.Connections, 50)
	set(&s.PerConnection, 1_000_000)
	set(&s.Size, 2048)
	if s.Gear == "" {
		s.Gear = "auto"
	}
	if s.TLS == "" {
		s.TLS = "none"
	}
}

// scaled returns s with its recipients multiplied.
func (s *Scenario) scaled(by float64) *Scenario {
	c := *s
	if s.Signatures {
		return &c
	}
	c.Recipients = max(1, int(float64(s.Recipients)*by))
	c.Campaigns = min(s.Campaigns, c.Recipients)
	return &c
}

// script is the sink's behaviour, as its file has it.
func (s *Scenario) script() map[string]any {
	if s.Sink != nil || s.Latency == 0 {
		return s.Sink
	}
	return map[string]any{"servers": []any{map[string]any{"latency": s.Latency.String()}}}
}
