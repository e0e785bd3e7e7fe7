package control

import (
	"net/http"
	"net/http/pprof"
)

// profiles are the Go runtime's own pages below /debug/pprof/, for admins: how
// processor and memory are used. A profile over time ends with its caller or the
// server; the runtime makes one of a kind at once. They are not among those that
// monitors see.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and each profile by its name
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
