package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// SocketName is the Unix socket's name within the data directory.
const SocketName = "penstock.sock"

// maxRequest bounds a request message, in octets.
const maxRequest = 1 << 20

// Server answers on a listener until it is closed.
type Server struct {
	http http.Server
	done chan struct{}
}

// Listen opens the Unix socket of a data directory, mode 0600. The caller holds
// the directory, so a socket that is there was left by a process that died.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("protect control socket: %w", err)
	}
	return l, nil
}

// Serve answers on l, which Close closes, for a process that holds a ledger and
// does not send. Any goroutine.
func Serve(l net.Listener, led *ledger.Ledger) *Server { return serve(l, &desk{ledger: led}) }

// Steer answers on l, which Close closes, for an engine, and steers it. REQUIRES:
// it is closed before the engine is drained. Any goroutine.
func Steer(l net.Listener, e *engine.Engine) *Server {
	return serve(l, &desk{ledger: e.Ledger(), engine: e})
}

func serve(l net.Listener, d *desk) *Server {
	s := &Server{done: make(chan struct{})}
	s.http.Handler = handler(d)
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
	bound := connect.WithReadMaxBytes(maxRequest)
	mux.Handle(penstockv1connect.NewCampaignServiceHandler(&campaigns{ledger: d.ledger, desk: d}, bound))
	mux.Handle(penstockv1connect.NewServerServiceHandler(&server{ledger: d.ledger, desk: d}, bound))
	mux.Handle(penstockv1connect.NewSiteServiceHandler(&sites{d}, bound))
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
