package sink

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"testing"
)

// BenchmarkLoopback sends flights of 16 chunked messages over 20 connections:
// how much a receiver on the same machine can take, client included.
func BenchmarkLoopback2KB(b *testing.B)  { loopback(b, 2048) }
func BenchmarkLoopback30KB(b *testing.B) { loopback(b, 30<<10) }

func loopback(b *testing.B, size int) {
	const conns, window = 20, 16
	s, err := Start(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	_, flight := steady(size, window)
	var wait sync.WaitGroup
	b.SetBytes(int64(size))
	b.ResetTimer()
	for range conns {
		c, err := net.Dial("tcp", s.Addrs()[0])
		if err != nil {
			b.Fatal(err)
		}
		wait.Go(func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 64<<10)
			c.Write([]byte("EHLO x\r\n"))
			for {
				l, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if bytes.HasPrefix(l, []byte("250 ")) {
					break
				}
			}
			for n := 0; n < b.N/conns+1; n += window {
				c.Write(flight)
				for range 4 * window {
					if _, err := r.ReadSlice('\n'); err != nil {
						return
					}
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	st := s.Stats()
	b.ReportMetric(float64(st.Accepted)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(st.Flights)/float64(st.Accepted), "flights/message")
}
