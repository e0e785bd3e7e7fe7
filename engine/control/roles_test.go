package control_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestEveryMethodHasARole walks the API by reflection: the table of roles has
// every method of every service, says which are streams, and has no other.
func TestEveryMethodHasARole(t *testing.T) {
	t.Parallel()
	var declared []string
	protoregistry.GlobalFiles.RangeFilesByPackage("penstock.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				name := string(s.FullName()) + "/" + string(m.Name())
				declared = append(declared, name)
				found, ok := access.At("/" + name)
				if !ok || !access.Admin.Allows(found.Role) {
					t.Errorf("%s has no role: add it to engine/access/methods.go", name)
				}
				if streams := m.IsStreamingClient() || m.IsStreamingServer(); ok && found.Stream != streams {
					t.Errorf("%s: the table says stream: %v, the API %v", name, found.Stream, streams)
				}
			}
		}
		return true
	})
	if len(declared) < 25 {
		t.Fatalf("only %d methods were found", len(declared))
	}
	for _, name := range access.Methods() {
		if strings.HasPrefix(name, "penstock.v1.") && !slices.Contains(declared, name) {
			t.Errorf("%s is in the table and not in the API", name)
		}
	}
}

// lobby is a server at a loopback TCP address with a token of each role.
type lobby struct {
	*testing.T
	base    string
	client  *http.Client
	tokens  map[access.Role]string
	socket  *control.Client
	station *station
}

func newLobby(t *testing.T) *lobby {
	t.Helper()
	s := newStation(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.served.Answer(l)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	h := &lobby{
		T: t, base: "http://" + l.Addr().String(), socket: s.client, station: s, tokens: map[access.Role]string{},
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for role := access.Read; role <= access.Admin; role++ {
		res, err := s.client.CreateToken(t.Context(), &pb.CreateTokenRequest{Name: "t-" + role.String(), Role: role.String()})
		if err != nil {
			t.Fatal(err)
		}
		h.tokens[role] = res.Secret
	}
	return h
}

// protocols are the ways to call a method with an empty message.
var protocols = map[string]struct{ kind, body string }{
	"grpc":            {"application/grpc+proto", "\x00\x00\x00\x00\x00"},
	"grpc-web":        {"application/grpc-web+proto", "\x00\x00\x00\x00\x00"},
	"json":            {"application/json", "{}"},
	"stream of json":  {"application/connect+json", "\x00\x00\x00\x00\x02{}"},
	"stream of proto": {"application/connect+proto", "\x00\x00\x00\x00\x00"},
}

// call gives all that comes back: head, body and trailer.
func (h *lobby) call(path, protocol, token string, change func(*http.Request)) (code int, said string) {
	h.Helper()
	how := protocols[protocol]
	ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+path, bytes.NewReader([]byte(how.body)))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", how.kind)
	req.Header.Set("Te", "trailers")
	if protocol == "grpc" || protocol == "grpc-web" {
		req.Header.Set("Grpc-Timeout", "100m") // a stream that never ends ends
	} else {
		req.Header.Set("Connect-Timeout-Ms", "100")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if change != nil {
		change(req)
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.Fatalf("%s over %s: %v", path, protocol, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.Fatalf("%s over %s: %v", path, protocol, err)
	}
	var all bytes.Buffer
	_ = res.Header.Write(&all) // to memory
	all.Write(body)
	_ = res.Trailer.Write(&all)
	return res.StatusCode, strings.ToLower(all.String())
}

// verdict is what an answer says of the caller's right to call.
func verdict(code int, said string) string {
	for word, signs := range map[string][]string{
		"unauthenticated":   {"grpc-status: 16", `"code":"unauthenticated"`},
		"permission_denied": {"grpc-status: 7", `"code":"permission_denied"`},
	} {
		for _, sign := range signs {
			if strings.Contains(said, sign) {
				return word
			}
		}
	}
	switch code {
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "permission_denied"
	}
	return "allowed"
}

// TestRolesAreKept really calls every method with every role in every protocol:
// it is denied exactly where the table says so, and without a token always.
func TestRolesAreKept(t *testing.T) {
	h := newLobby(t)
	for _, name := range access.Methods() {
		method, _ := access.At("/" + name)
		for protocol := range protocols {
			if code, said := h.call("/"+name, protocol, "", nil); verdict(code, said) != "unauthenticated" {
				t.Errorf("%s over %s without a token: %d %s", name, protocol, code, said)
			}
			for role, token := range h.tokens {
				want := "permission_denied"
				if role >= method.Role {
					want = "allowed"
				}
				if code, said := h.call("/"+name, protocol, token, nil); verdict(code, said) != want {
					t.Errorf("%s over %s as %v: want %s, got %d %s", name, protocol, role, want, code, said)
				}
			}
		}
	}
}

// TestPagesHaveRoles, those beside the API, and each is served.
func TestPagesHaveRoles(t *testing.T) {
	h := newLobby(t)
	get := func(r *http.Request) { r.Method = http.MethodGet; r.Body = nil; r.ContentLength = 0 }
	for path, wanted := range map[string]access.Role{
		"/metrics": access.Read, "/healthz": access.Read,
		"/debug/pprof/": access.Admin, "/debug/pprof/heap": access.Admin, "/debug/pprof/cmdline": access.Admin,
		"/debug/pprof/profile?seconds=1": access.Admin, "/debug/pprof/trace?seconds=0.01": access.Admin,
	} {
		if code, _ := h.call(path, "json", "", get); code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, code)
		}
		for role, token := range h.tokens {
			want := http.StatusForbidden
			if role >= wanted {
				want = http.StatusOK
			}
			if code, said := h.call(path, "json", token, get); code != want {
				t.Errorf("%s as %v: %d %.100s, want %d", path, role, code, said, want)
			}
		}
	}
}

// TestNoWayAround: requests that are nearly right, or right in an odd way, do
// nothing that their sender may not do.
func TestNoWayAround(t *testing.T) {
	h := newLobby(t)
	read := h.tokens[access.Read]
	const pauseAll = "/penstock.v1.ServerService/PauseAll"
	at := func(path string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Opaque = "//" + r.URL.Host + path }
	}
	for name, c := range map[string]struct { // another path is a read that may be
		path, token string
		change      func(*http.Request)
	}{
		"two slashes":         {path: "/" + pauseAll, token: read},
		"a slash at the end":  {path: pauseAll + "/", token: read},
		"slashes between":     {path: "/penstock.v1.ServerService//PauseAll", token: read},
		"lower case":          {path: strings.ToLower(pauseAll), token: read},
		"dots":                {path: "/penstock.v1.SiteService/../penstock.v1.ServerService/PauseAll", token: read},
		"an escaped slash":    {path: "/penstock.v1.ServerService%2FPauseAll", token: read},
		"an escaped letter":   {path: "/penstock.v1.ServerService/%50auseAll", token: read},
		"a parameter":         {path: pauseAll + "?access_token=" + url.QueryEscape(h.tokens[access.Admin]), token: read},
		"a semicolon":         {path: pauseAll + ";x", token: read},
		"an absolute path":    {path: pauseAll, token: read, change: at(pauseAll)},
		"GET":                 {path: pauseAll, token: read, change: func(r *http.Request) { r.Method = http.MethodGet }},
		"GET with a message":  {path: pauseAll + "?connect=v1&encoding=json&message=%7B%7D", token: read, change: func(r *http.Request) { r.Method = http.MethodGet; r.Body = nil }},
		"PUT":                 {path: pauseAll, token: read, change: func(r *http.Request) { r.Method = http.MethodPut }},
		"another method":      {path: pauseAll, token: read, change: func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "POST") }},
		"another path":        {path: "/penstock.v1.SiteService/ListSites", token: read, change: func(r *http.Request) { r.Header.Set("X-Original-Url", pauseAll) }},
		"another host":        {path: pauseAll, token: read, change: func(r *http.Request) { r.Host = "localhost" }},
		"from the proxy":      {path: pauseAll, token: read, change: func(r *http.Request) { r.Header.Set("X-Forwarded-For", "127.0.0.1") }},
		"a role that is said": {path: pauseAll, token: read, change: func(r *http.Request) { r.Header.Set("Role", "admin"); r.Header.Set("X-Role", "admin") }},
		"two tokens":          {path: pauseAll, token: read, change: func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+h.tokens[access.Admin]) }},
		"a token in a cookie": {path: pauseAll, change: func(r *http.Request) { r.Header.Set("Cookie", "authorization="+h.tokens[access.Admin]) }},
		"no scheme":           {path: pauseAll, change: func(r *http.Request) { r.Header.Set("Authorization", h.tokens[access.Admin]) }},
		"another scheme":      {path: pauseAll, change: func(r *http.Request) { r.Header.Set("Authorization", "Basic "+h.tokens[access.Admin]) }},
		"an empty token":      {path: pauseAll, change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }},
		"a name as a token":   {path: pauseAll, token: "t-admin"},
	} {
		for protocol := range protocols {
			if code, said := h.call(c.path, protocol, c.token, c.change); name != "another path" && code == http.StatusOK && strings.Contains(said, "grpc-status: 0") {
				t.Errorf("%s over %s: %d %s", name, protocol, code, said)
			}
		}
	}
	if held := h.station.engine.Pauses().All(); len(held) != 0 {
		t.Errorf("it is paused: %v", held)
	}
	// The same request in order does pause: what was turned away was not broken.
	if code, said := h.call(pauseAll, "json", h.tokens[access.Operate], nil); code != http.StatusOK || len(h.station.engine.Pauses().All()) != 1 {
		t.Errorf("in order: %d %s", code, said)
	}
}
