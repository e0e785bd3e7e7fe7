package control

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatienceIsLostInTimeAndNotAfterTheCall: it is lost when the time is over,
// begins anew when it is begun again, and never touches a call that has ended,
// however late the timer fires.
func TestPatienceIsLostInTimeAndNotAfterTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		p := newPatience(func() { lost++ })
		p.begin(time.Minute)
		time.Sleep(59 * time.Second)
		p.begin(time.Minute)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if lost != 0 {
			t.Error("lost though it was begun anew")
		}
		p.end()
		time.Sleep(time.Hour)
		p.begin(time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait()
		if lost != 1 {
			t.Errorf("lost %d times", lost)
		}
		p.begin(time.Minute)
		p.over()
		time.Sleep(time.Hour)
		p.lose() // as by a timer that had fired before
		if lost != 1 {
			t.Error("lost after the call")
		}
	})
}

func TestPatienceIsLostBesideTheEnd(t *testing.T) {
	t.Parallel()
	for range 200 {
		var ended atomic.Bool
		p := newPatience(func() {
			if ended.Load() {
				t.Error("lost after the call")
			}
		})
		var both sync.WaitGroup
		both.Go(p.lose)
		both.Go(func() { p.over(); ended.Store(true) })
		both.Wait()
	}
}

// TestSlowClientsLoseTheirCalls, over each HTTP: who does not take in what he is
// sent, and who does not go on with what he sends. Their calls end by themselves,
// and the others are answered meanwhile.
func TestSlowClientsLoseTheirCalls(t *testing.T) {
	t.Parallel()
	const soon = 50 * time.Millisecond
	for name, second := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			s := newServer(slog.New(slog.DiscardHandler))
			s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p := pace{body: soon, say: soon, take: soon}
				w, r, done := p.of(w, r, r.URL.Path != "/unary")
				defer done()
				if r.URL.Path != "/flood" {
					_, err := io.Copy(io.Discard, r.Body)
					ended <- err
					return
				}
				for page := make([]byte, 64<<10); ; {
					if _, err := w.Write(page); err != nil {
						ended <- err
						return
					}
				}
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s.Answer(l)
			defer s.Close(t.Context())
			var protocols http.Protocols
			protocols.SetHTTP1(!second)
			protocols.SetUnencryptedHTTP2(second)
			transport := &http.Transport{Protocols: &protocols}
			defer transport.CloseIdleConnections()
			lost := func(path string, body io.Reader, hush func()) {
				t.Helper()
				ctx, cancel := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.Addr().String()+path, body)
				if err != nil {
					t.Fatal(err)
				}
				var asking sync.WaitGroup
				asking.Go(func() {
					if res, err := (&http.Client{Transport: transport}).Do(req); err == nil {
						<-ctx.Done() // nothing of it is read
						res.Body.Close()
					}
				})
				select {
				case err := <-ended:
					if err == nil {
						t.Errorf("%s ended well", path)
					}
				case <-time.After(20 * time.Second):
					t.Errorf("%s goes on", path)
				}
				cancel()
				hush() // the client waits for the body that it reads
				asking.Wait()
			}
			lost("/flood", nil, func() {})
			silent, mouth := io.Pipe()
			lost("/silent", io.MultiReader(bytes.NewReader([]byte("a")), silent), func() { mouth.Close() })
			drip, drops := io.Pipe()
			go func() { // an octet now and then, without end
				for {
					if _, err := drops.Write([]byte("a")); err != nil {
						return
					}
					time.Sleep(soon / 5)
				}
			}()
			lost("/unary", drip, func() { drip.Close() })
		})
	}
}
