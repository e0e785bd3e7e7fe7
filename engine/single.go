package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

// TestResult is what became of a message sent by SendOne.
type TestResult struct {
	Site, Host, TLS string
	Addr            netip.AddrPort
	Outcome         smtp.Outcome
	Took            time.Duration
}

// SendOne sends one message to its recipient's domain, at once and once, and
// records nothing. An error says that no host could be asked.
func SendOne(ctx context.Context, c *config.Config, log *slog.Logger, m *compose.Message) (*TestResult, error) {
	_, domain, err := address.Parse(m.To)
	if err != nil {
		return nil, fmt.Errorf("address %q %w", m.To, err)
	}
	resolver, err := NewResolver(c)
	if err != nil {
		return nil, err
	}
	defer resolver.Close()
	answer := resolver.Resolve(ctx, domain)
	if answer.Status != mx.Found {
		return nil, fmt.Errorf("%s: %s: %s", domain, answer.Status, answer.Reason)
	}
	p, err := newPool(c, pool.Options{Log: log})
	if err != nil {
		return nil, err
	}
	limiters := throttle.New(rules(c))
	site := p.Site(answer.Route.Site, func(s pool.Source) pool.Gate { return limiters.Limiter(answer.Route.Site, s.Name) }, pool.SiteOptions{})
	q := &single{
		message: &smtp.Message{From: m.From, To: m.To, Content: m.Parts, Size: m.Size, EightBit: m.EightBit, UTF8: m.UTF8},
		result:  make(chan *TestResult, 1),
		failed:  make(chan error, 1),
	}
	q.site = answer.Route.Site
	site.Lane(hosts(answer.Route), q, pool.LaneOptions{}).Wake()
	defer func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.SMTP.Timeouts.Quit)
		defer cancel()
		_ = p.Drain(drain) // the result is known; a QUIT that is not answered changes nothing
	}()
	select {
	case r := <-q.result:
		return r, nil
	case err := <-q.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// single is a pool.Queue with one message in it.
type single struct {
	site   string
	result chan *TestResult
	failed chan error

	mu      sync.Mutex
	message *smtp.Message // guarded by mu; nil: taken
}

func (q *single) Pull(dst []*smtp.Message, _ *pool.Connection, n int) []*smtp.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.message == nil || n == 0 {
		return dst
	}
	dst = append(dst, q.message)
	q.message = nil
	return dst
}

func (q *single) Settle(via *pool.Connection, _ *smtp.Message, out *smtp.Outcome, took time.Duration) {
	q.result <- &TestResult{Site: q.site, Host: via.Host(), Addr: via.Addr(), TLS: via.TLS(), Outcome: *out, Took: took}
}

func (q *single) Backlog() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.message == nil {
		return 0
	}
	return 1
}

func (q *single) Unreachable(f pool.Failure, _ time.Time) {
	select {
	case q.failed <- fmt.Errorf("no host could be used; the last failure: %w", &f):
	default:
	}
}
