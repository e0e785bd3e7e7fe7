package control

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/penstock-mail/penstock/engine"
)

// The plain pages that monitors ask for: /metrics in the Prometheus text format,
// /healthz (the process answers) and /readyz (it sends, and DNS answers; else 503 and why not).

// Observe answers on l, which Close closes, with those pages and nothing else:
// nothing can be changed there. Any goroutine.
func Observe(l net.Listener, e *engine.Engine) *Server {
	mux := http.NewServeMux()
	probes(mux, e)
	s := newServer(slog.New(slog.DiscardHandler))
	s.http.Handler = mux
	s.Answer(l)
	return s
}

// ListenLoopback opens a TCP address for Observe, which must be one of this
// machine's own: what is served there is neither encrypted nor asked for a
// password.
func ListenLoopback(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("address %q is not of this machine alone: use 127.0.0.1 or [::1]", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for monitors: %w", err)
	}
	return l, nil
}

func probes(mux *http.ServeMux, e *engine.Engine) {
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		// Into memory first: a slow reader holds nothing up.
		var page bytes.Buffer
		e.WriteMetrics(&page)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(page.Bytes()) // the reader has gone
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		if err := e.Ready(req.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}
