package control

import (
	"context"
	"net/http"
	"time"

	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
)

// received is around the intake's methods: few large requests are read at once,
// and the body of an upload can be ended by who answers it.
func received(h http.Handler) http.Handler {
	creates := make(chan struct{}, mostCreates)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case penstockv1connect.IntakeServiceCreateCampaignProcedure:
			select {
			case creates <- struct{}{}:
				defer func() { <-creates }()
			case <-r.Context().Done():
				return // the client has gone
			}
		case penstockv1connect.IntakeServiceUploadRecipientsProcedure:
			control := http.NewResponseController(w)
			body := newPatience(func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }) // a connection without deadlines is within this process
			// Who ends it late must not touch a response that is over.
			defer body.over()
			r = r.WithContext(context.WithValue(r.Context(), endOfBody{}, body.lose))
		}
		h.ServeHTTP(w, r)
	})
}

type endOfBody struct{}

// stopReading ends the request's body, for whoever waits for more of it.
func stopReading(ctx context.Context) {
	if stop, ok := ctx.Value(endOfBody{}).(func()); ok {
		stop()
	}
}
