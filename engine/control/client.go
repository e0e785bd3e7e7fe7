package control

import (
	"context"
	"net"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Client speaks to a process that holds a data directory, or to this one.
type Client struct {
	penstockv1connect.AccessServiceClient
	penstockv1connect.CampaignServiceClient
	penstockv1connect.EventServiceClient
	penstockv1connect.ServerServiceClient
	penstockv1connect.SiteServiceClient
	penstockv1connect.ForecastServiceClient
	penstockv1connect.SourceServiceClient
	penstockv1connect.TraceServiceClient
	penstockv1connect.IntakeServiceClient
	close func()
}

// Close ends the connection. For a Local client it does not close the ledger.
func (c *Client) Close() { c.close() }

// Dial gives a client to the process that holds dir. Whether it answers is
// seen at the first call.
func Dial(dir string) *Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialSocket(ctx, dir)
	}}
	return newClient(transport, socketBase, "", transport.CloseIdleConnections)
}

// Local gives the same client over a ledger of this process.
func Local(led *ledger.Ledger) *Client {
	l := newPipes()
	s := Serve(l, led)
	transport := &http.Transport{DialContext: l.dialing}
	return newClient(transport, socketBase, "", func() {
		transport.CloseIdleConnections()
		s.Close(context.Background())
	})
}

// socketBase stands for a host where there is none.
const socketBase = "http://penstock"

// newClient calls what is below base, with a token if there is one.
func newClient(transport *http.Transport, base, token string, closing func()) *Client {
	// Streams in both directions need HTTP/2.
	second := transport.Clone()
	second.Protocols = new(http.Protocols)
	second.Protocols.SetHTTP2(true)
	second.Protocols.SetUnencryptedHTTP2(true)
	h, streams := &http.Client{Transport: transport}, &http.Client{Transport: second}
	if token != "" {
		h.Transport, streams.Transport = &bearer{transport, token}, &bearer{second, token}
	}
	return &Client{
		AccessServiceClient:   penstockv1connect.NewAccessServiceClient(h, base),
		EventServiceClient:    penstockv1connect.NewEventServiceClient(h, base),
		CampaignServiceClient: penstockv1connect.NewCampaignServiceClient(h, base),
		ServerServiceClient:   penstockv1connect.NewServerServiceClient(h, base),
		SiteServiceClient:     penstockv1connect.NewSiteServiceClient(h, base),
		ForecastServiceClient: penstockv1connect.NewForecastServiceClient(h, base),
		SourceServiceClient:   penstockv1connect.NewSourceServiceClient(h, base),
		TraceServiceClient:    penstockv1connect.NewTraceServiceClient(h, base),
		IntakeServiceClient:   penstockv1connect.NewIntakeServiceClient(streams, base, connect.WithGRPC()),
		close: sync.OnceFunc(func() {
			second.CloseIdleConnections()
			closing()
		}),
	}
}

// pipes is a listener within the process.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dialing is dial as http.Transport wants it.
func (p *pipes) dialing(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
