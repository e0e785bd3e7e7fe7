package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// maxRequest bounds a request message, in octets.
const maxRequest = 1 << 20

// Server answers on a listener until it is closed.
type Server struct {
	http http.Server
	done chan struct{}
}

// Serve answers on l, which Close closes, for a process that holds a ledger and
// does not send. Any goroutine.
func Serve(l net.Listener, led *ledger.Ledger) *Server { return serve(l, &desk{ledger: led}) }

// Steer answers on l, which Close closes, for an engine, and steers it. While
// the engine drains, and after that, what is paused or cancelled is written down
// and nothing is started; close it before the engine. Any goroutine.
func Steer(l net.Listener, e *engine.Engine) *Server {
	return serve(l, &desk{ledger: e.Ledger(), engine: e})
}

func serve(l net.Listener, d *desk) *Server { return serveHandler(l, handler(d)) }

func serveHandler(l net.Listener, h http.Handler) *Server {
	s := &Server{done: make(chan struct{})}
	s.http.Handler = h
	s.http.ReadHeaderTimeout = 10 * time.Second
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http.Protocols = &protocols
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // always an error: ErrServerClosed
	}()
	return s
}

// Close lets running calls finish until ctx ends, then cuts them off.
func (s *Server) Close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
}

func handler(d *desk) http.Handler {
	mux := http.NewServeMux()
	bound := connect.WithHandlerOptions(connect.WithReadMaxBytes(maxRequest), strict())
	mux.Handle(penstockv1connect.NewCampaignServiceHandler(&campaigns{ledger: d.ledger, desk: d}, bound))
	mux.Handle(penstockv1connect.NewServerServiceHandler(&server{ledger: d.ledger, desk: d}, bound))
	mux.Handle(penstockv1connect.NewSiteServiceHandler(&sites{d}, bound))
	if d.engine != nil {
		probes(mux, d.engine)
	}
	return mux
}

// server implements penstock.v1.ServerService.
type server struct {
	ledger *ledger.Ledger
	desk   *desk
}

func (s *server) Verify(ctx context.Context, _ *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	r, err := s.ledger.Verify(ctx)
	if err != nil {
		return nil, status(err)
	}
	return &pb.VerifyResponse{Campaigns: uint64(r.Campaigns), Recipients: r.Recipients, Attempts: r.Records, Faults: r.Problems}, nil
}

func (s *server) Backup(_ context.Context, req *pb.BackupRequest) (*pb.BackupResponse, error) {
	if !filepath.IsAbs(req.Directory) {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("directory %q is not an absolute path", req.Directory))
	}
	if err := s.ledger.Backup(req.Directory); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, connect.NewError(connect.CodeAlreadyExists, err)
		}
		return nil, status(err)
	}
	return &pb.BackupResponse{}, nil
}
