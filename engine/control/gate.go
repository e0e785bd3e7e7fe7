package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"github.com/penstock-mail/penstock/engine/access"
)

// gate stands before everything that is served: it finds out who calls, and
// turns away who may not, before a body is read. The guard behind it asks again,
// by the name of the method that is really called.
type gate struct {
	next         http.Handler
	tokens       func() (*access.Tokens, error)
	certificates func() access.Certificates
	refuse       *connect.ErrorWriter
	log          *slog.Logger
	now          func() time.Time

	// turnedAway counts since the last line of the log; lastTold is when that was,
	// in seconds.
	turnedAway, lastTold atomic.Int64
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, err := g.recognise(r)
	var method access.Method
	if err == nil {
		method, err = admit(caller, r.URL.Path)
	}
	if err != nil {
		g.turnAway(w, r, caller, err)
		return
	}
	w, r, done := usualPace.of(w, r.WithContext(access.With(r.Context(), caller)), method.Stream)
	defer done()
	g.next.ServeHTTP(w, r)
}

// admit says whether a caller may do what a path stands for.
func admit(caller access.Caller, path string) (access.Method, error) {
	method, ok := access.At(path)
	switch {
	case !ok:
		return method, connect.NewError(connect.CodeUnimplemented, fmt.Errorf("nothing is served at %q; server reflection lists the methods", path))
	case !caller.Role.Allows(method.Role):
		return method, connect.NewError(connect.CodePermissionDenied,
			fmt.Errorf("%s takes the role %s, and %s has %s; an admin can make another token with: penstock token create", strings.TrimPrefix(path, "/"), method.Role, caller.Name, caller.Role))
	}
	return method, nil
}

// recognise finds out who calls. A token counts before a certificate, and both
// before the connection; one that is wrong is never passed over for the next.
func (g *gate) recognise(r *http.Request) (access.Caller, error) {
	caller, err := g.shown(r)
	if err != nil {
		return caller, connect.NewError(connect.CodeUnauthenticated, err)
	}
	if _, _, err := net.SplitHostPort(r.RemoteAddr); err == nil { // not so on the socket
		caller.Peer = r.RemoteAddr
	}
	return caller, nil
}

func (g *gate) shown(r *http.Request) (access.Caller, error) {
	switch given := r.Header.Values("Authorization"); {
	case len(given) > 1:
		return access.Caller{}, errors.New("there are several Authorization headers, and one may be")
	case len(given) == 1:
		return g.byToken(given[0])
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		shown := r.TLS.PeerCertificates[0]
		caller, ok := g.certificates().Caller(shown)
		if !ok {
			return access.Caller{}, fmt.Errorf("the client certificate of %q is good, but serve.clients gives no role to any of its names", shown.Subject)
		}
		return caller, nil
	}
	if caller := access.From(r.Context()); caller.Role != access.RoleUnset {
		return caller, nil // by the connection
	}
	return access.Caller{}, errors.New("who calls is not known: send a token as \"authorization: Bearer SECRET\" (penstock token create makes one), or show a client certificate")
}

// byToken knows a caller by a header as RFC 6750 2.1 has it.
func (g *gate) byToken(header string) (access.Caller, error) {
	scheme, secret, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") { // RFC 7235 2.1: without regard to case
		return access.Caller{}, errors.New("the Authorization header must be: Bearer SECRET")
	}
	tokens, err := g.tokens()
	if err != nil {
		return access.Caller{}, err
	}
	token, err := tokens.Find(strings.TrimSpace(secret), g.now())
	if err != nil {
		return access.Caller{}, err
	}
	return access.Caller{Name: token.Name, Role: token.Role, Via: access.ViaToken, Expires: token.Expires}, nil
}

// turnAway answers in the caller's protocol.
func (g *gate) turnAway(w http.ResponseWriter, r *http.Request, caller access.Caller, err error) {
	g.tell(r, caller, err)
	// What the body holds is not waited for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)) // a connection without deadlines is within this process
	code := connect.CodeOf(err)
	if code == connect.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750 3
	}
	// What is not there is a 404 but to gRPC, which has no such thing.
	grpc := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	if g.refuse.IsSupported(r) && (grpc || code != connect.CodeUnimplemented) {
		_ = g.refuse.Write(w, r, err) // the caller has gone
		return
	}
	status := http.StatusNotFound
	switch code {
	case connect.CodeUnauthenticated:
		status = http.StatusUnauthorized
	case connect.CodePermissionDenied:
		status = http.StatusForbidden
	}
	http.Error(w, Cause(err).Error(), status)
}

// tell writes to the log who was turned away, a line a second at most, so that a
// flood of wrong calls is not one of lines.
func (g *gate) tell(r *http.Request, caller access.Caller, err error) {
	n, now, last := g.turnedAway.Add(1), g.now().Unix(), g.lastTold.Load()
	if now == last || !g.lastTold.CompareAndSwap(last, now) {
		return
	}
	g.turnedAway.Add(-n)
	g.log.Warn("a call was turned away", "path", r.URL.Path, "from", r.RemoteAddr, "caller", caller.Name, "code", connect.CodeOf(err).String(), "since_last", n)
}

// connection knows callers by how they are connected: who could open the Unix
// socket (mode 0600) is its owner or root, and who calls within the process is
// the process. Over anything else nobody is known.
func connection(ctx context.Context, conn net.Conn) context.Context {
	switch c := conn.(type) {
	case *net.UnixConn:
		return access.With(ctx, access.Caller{Name: peerName(c), Role: access.Admin, Via: access.ViaSocket})
	default:
		if conn.LocalAddr().Network() == "pipe" { // net.Pipe's
			return access.With(ctx, access.Caller{Name: userName(unix.Getuid()), Role: access.Admin, Via: access.ViaProcess})
		}
	}
	return ctx
}

// peerName is the user at the other end (SO_PEERCRED of unix(7)).
func peerName(c *net.UnixConn) string {
	uid := -1
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // uid stays -1
			if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = int(peer.Uid)
			}
		})
	}
	return userName(uid)
}

func userName(uid int) string {
	if uid < 0 {
		return "unknown user"
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}
