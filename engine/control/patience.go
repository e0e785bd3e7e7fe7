package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
)

// A client that opens a stream and does not read it would hold on to memory, to
// a snapshot of the ledger and to a goroutine for as long as it likes. So each
// message has a time within which the client must have made room for it.

// usualPatience is that time where nobody says another.
const usualPatience = 30 * time.Second

type writerKey struct{}

// withWriter lets streams set deadlines for what they write. What an earlier
// stream set on the same connection ends here.
func withWriter(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writer := http.NewResponseController(w)
		_ = writer.SetWriteDeadline(time.Time{}) // those that cannot are never waited for by their kind
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), writerKey{}, writer)))
	})
}

// patient is a stream whose client must read. One goroutine.
type patient[M any] struct {
	stream   *connect.ServerStream[M]
	writer   *http.ResponseController // nil: the handler stands alone
	patience time.Duration
}

func patiently[M any](ctx context.Context, stream *connect.ServerStream[M], patience time.Duration) *patient[M] {
	writer, _ := ctx.Value(writerKey{}).(*http.ResponseController)
	return &patient[M]{stream, writer, patience}
}

// send writes one message. RESOURCE_EXHAUSTED: the client did not read.
func (p *patient[M]) send(m *M) error {
	p.wait()
	err := p.stream.Send(m)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("nothing was read for %s: read faster, or go on from the last cursor", p.patience))
	}
	return err
}

// wait gives the client its time from now on. It must follow the last send, for
// what ends the stream.
func (p *patient[M]) wait() {
	if p.writer != nil {
		_ = p.writer.SetWriteDeadline(time.Now().Add(p.patience))
	}
}
