package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

// Render composes the message of one row, as its recipient would get it; to is
// whom it is for instead, empty for the row's own address. The keys of VERP
// token and Message-ID are throw-away ones.
func Render(c *campaign.Campaign, stdin io.Reader, row uint64, to string) (*compose.Message, error) {
	rows, err := campaign.Open(c, stdin)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for {
		r, reject, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("there is no row %d: the recipients have %d", row, rows.Rows())
		case err != nil:
			return nil, err
		case reject != nil && uint64(reject.Seq) == row:
			return nil, fmt.Errorf("row %d (%s:%d) would not be loaded: %s %s", row, reject.File, reject.Line, reject.Address, reject.Detail)
		case reject != nil || uint64(r.Seq) != row:
			continue
		}
		template, problems := compose.Compile(&c.Content, compose.Options{Campaign: c.ID, Columns: rows.Columns(), Secret: make([]byte, 32)})
		if err := problems.Err(); err != nil {
			return nil, err
		}
		m := new(compose.Message)
		whom := compose.Recipient{Seq: r.Seq, Local: r.Local, Domain: r.Domain, Fields: r.Fields, Date: time.Now()}
		if to != "" {
			local, domain, err := address.Parse(to)
			if err != nil {
				return nil, fmt.Errorf("address %q %w", to, err)
			}
			whom.Local, whom.Domain = []byte(local), []byte(domain)
		}
		if err := template.NewComposer().Compose(m, &whom, compose.Caps{EightBitMIME: true, SMTPUTF8: true}); err != nil {
			return nil, fmt.Errorf("row %d (%s:%d): %w", row, r.File, r.Line, err)
		}
		return m, nil
	}
}

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

func (q *single) Pull(dst []*smtp.Message, _ *smtp.Capabilities, n int) []*smtp.Message {
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
