package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/access"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Bounds of what is taken from a client.
const (
	// maxRequest is of a message, in octets; maxHeader of a request's head.
	maxRequest = 1 << 20
	maxHeader  = 64 << 10
	// headerTime is for a request's head, idleTime for the next request of a
	// connection.
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// streamsOfConn is how many calls an HTTP/2 connection carries at once.
	streamsOfConn = 250
)

// Bounds of streams where the configuration says nothing.
const (
	usualStreams     = 1000
	usualStreamsEach = 250
)

// Options is what a server answers for.
type Options struct {
	// Engine sends; nil: nothing is sent, and Ledger is what is asked.
	Engine *engine.Engine
	Ledger *ledger.Ledger
	// Intake takes campaigns in; nil: none can be created.
	Intake *intake.Store
	// Process is the program that serves; nil: it cannot be ruled.
	Process Process
	// Door is what TCP listeners ask of those who call; nil: tokens alone.
	Door *Door
	// Streams are the most that may be open, in all and of each caller; 0: 1,000
	// and 250.
	Streams, StreamsEach int
	// Patience is how long a stream waits for its client to read; 0: 30 s.
	Patience time.Duration
	// Log is for what concerns an operator; nil: nothing is logged.
	Log *slog.Logger
}

// Server answers on listeners until it is closed.
type Server struct {
	http    http.Server
	door    *Door
	calls   *calls
	audit   *access.Log // nil: nothing can be changed here
	serving sync.WaitGroup

	mu      sync.Mutex
	listens []string // guarded by mu
}

// Serve answers on l, which Close closes, for a process that holds a ledger and
// does not send. Any goroutine.
func Serve(l net.Listener, led *ledger.Ledger) *Server {
	s := Start(Options{Ledger: led})
	s.Answer(l)
	return s
}

// Steer answers on l, which Close closes, for an engine, and steers it. While
// the engine drains, and after that, what is paused or cancelled is written down
// and nothing is started; close it before the engine. Any goroutine.
func Steer(l net.Listener, e *engine.Engine) *Server {
	s := Start(Options{Engine: e})
	s.Answer(l)
	return s
}

// Start makes a server that does not listen yet; see Answer. Close must follow,
// before the engine or the ledger is closed.
func Start(o Options) *Server {
	if o.Engine != nil {
		o.Ledger = o.Engine.Ledger()
	}
	if o.Streams == 0 {
		o.Streams = usualStreams
	}
	if o.StreamsEach == 0 {
		o.StreamsEach = usualStreamsEach
	}
	if o.Patience == 0 {
		o.Patience = usualPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := newServer(o.Log)
	s.door = o.Door
	s.calls = newCalls(o.Streams, o.StreamsEach)
	s.audit = access.OpenLog(o.Ledger.Dir())
	d := &desk{
		ledger: o.Ledger, engine: o.Engine, intakes: o.Intake, process: o.Process, patience: o.Patience, watches: newWatches(), now: time.Now, started: time.Now(),
		tokens: sync.OnceValues(func() (*access.Tokens, error) { return access.OpenTokens(o.Ledger) }),
	}
	s.http.Handler = s.handler(d, o.Log)
	s.http.ConnContext = connection
	if s.door != nil {
		s.http.TLSConfig = s.door.tls()
	}
	return s
}

func newServer(logger *slog.Logger) *Server {
	s := &Server{}
	s.http.ReadHeaderTimeout = headerTime
	s.http.IdleTimeout = idleTime
	s.http.MaxHeaderBytes = maxHeader
	s.http.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: streamsOfConn,
		// How much of an upload may be under way: enough for a fast line over a
		// hundred milliseconds.
		MaxReceiveBufferPerConnection: 8 << 20, MaxReceiveBufferPerStream: 4 << 20,
	}
	s.http.ErrorLog = log.New(debugLog{logger}, "", 0)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http.Protocols = &protocols
	return s
}

// debugLog is where net/http tells of connections that went wrong, which is
// their clients' concern.
type debugLog struct{ *slog.Logger }

func (l debugLog) Write(line []byte) (int, error) {
	l.Debug("connection to the control plane", "error", string(line))
	return len(line), nil
}

// Answer takes calls from l, which Close closes: without TLS, for the Unix
// socket and loopback. Any goroutine.
func (s *Server) Answer(l net.Listener) { s.answer(l, s.http.Serve) }

// AnswerTLS takes calls from l over TLS, with what the Door has. REQUIRES:
// Options.Door with a certificate.
func (s *Server) AnswerTLS(l net.Listener) {
	s.answer(l, func(l net.Listener) error { return s.http.ServeTLS(l, "", "") })
}

func (s *Server) answer(l net.Listener, serve func(net.Listener) error) {
	s.mu.Lock()
	s.listens = append(s.listens, l.Addr().String())
	s.mu.Unlock()
	s.serving.Go(func() { _ = serve(l) }) // always an error: ErrServerClosed
}

// Reconsider ends the streams of client certificates that the Door gives no role
// any more, or another one; call it when the Door was changed. Any goroutine.
func (s *Server) Reconsider() {
	roles := s.door.certificates()
	why := connect.NewError(connect.CodeUnauthenticated, errors.New("serve.clients was changed: call again"))
	s.calls.endStreams(why, func(c access.Caller) bool { return c.Via == access.ViaCertificate && roles[c.Name] != c.Role })
}

// listening is every address.
func (s *Server) listening() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.listens)
}

// Close ends streams, lets running calls finish until ctx ends, and then cuts
// them off. Once only.
func (s *Server) Close(ctx context.Context) {
	if s.calls != nil {
		s.calls.close()
	}
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.serving.Wait()
	if s.audit != nil {
		_ = s.audit.Close() // each of its lines was written when it came
	}
}

// handler is all that is served, behind the gate.
func (s *Server) handler(d *desk, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	bound := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(maxRequest), strict(),
		connect.WithInterceptors(&guard{calls: s.calls, audit: s.audit, log: logger, now: d.now}),
	)
	mux.Handle(penstockv1connect.NewAccessServiceHandler(&accesses{desk: d, calls: s.calls, audit: s.audit}, bound))
	mux.Handle(penstockv1connect.NewCampaignServiceHandler(&campaigns{ledger: d.ledger, desk: d}, bound))
	// Compressing the same events for each reader would cost more than sending.
	mux.Handle(penstockv1connect.NewEventServiceHandler(&events{desk: d, feeds: newFeeds(d.ledger)}, bound, connect.WithCompression("gzip", nil, nil)))
	mux.Handle(penstockv1connect.NewServerServiceHandler(&server{ledger: d.ledger, desk: d, calls: s.calls, listens: s.listening}, bound))
	mux.Handle(penstockv1connect.NewSiteServiceHandler(&sites{d}, bound))
	mux.Handle(penstockv1connect.NewForecastServiceHandler(&forecasts{d}, bound))
	mux.Handle(intakeHandler(d, bound))
	mux.Handle(penstockv1connect.NewSourceServiceHandler(&sources{d}, bound))
	mux.Handle(penstockv1connect.NewTraceServiceHandler(&traces{d}, bound))
	mux.Handle(grpchealth.NewHandler(health{d}, bound))
	reflector := grpcreflect.NewStaticReflector(services()...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, bound))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, bound))
	if d.engine != nil {
		probes(mux, d.engine)
		profiles(mux)
	}
	return &gate{
		next: withWriter(mux), tokens: d.tokens, certificates: s.door.certificates, refuse: connect.NewErrorWriter(bound), log: logger, now: d.now,
	}
}

// intakeHandler has bounds of its own beside the others: its requests carry
// files.
func intakeHandler(d *desk, bound connect.HandlerOption) (string, http.Handler) {
	larger := connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
		switch spec.Procedure {
		case penstockv1connect.IntakeServiceCreateCampaignProcedure:
			return []connect.HandlerOption{connect.WithReadMaxBytes(maxCreate)}
		case penstockv1connect.IntakeServiceAppendRecipientsProcedure, penstockv1connect.IntakeServiceUploadRecipientsProcedure:
			return []connect.HandlerOption{connect.WithReadMaxBytes(maxAppend)}
		}
		return nil
	})
	path, h := penstockv1connect.NewIntakeServiceHandler(newIntakes(d.intakes), bound, larger)
	return path, received(h)
}

// server implements penstock.v1.ServerService.
type server struct {
	ledger  *ledger.Ledger
	desk    *desk
	calls   *calls
	listens func() []string
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
