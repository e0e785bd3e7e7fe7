package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpu is the process's CPU time: what a record costs, with the background work
// in it.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the process's largest resident memory in MiB since reset.
func peak() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return n / 1024
		}
	}
	return 0
}

func resetPeak() {
	runtime.GC()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// rows makes n rows like those of a real list: half at one large domain, the
// rest over the others; three short merge fields.
func benchRows(n, domains int, add func(Row) error) error {
	rng := rand.New(rand.NewPCG(1, 2))
	names := make([][]byte, domains)
	for i := range names {
		names[i] = fmt.Appendf(nil, "mail-domain-%d.example", i)
	}
	var local, fields []byte
	for i := range n {
		d := 0
		if domains > 1 && rng.IntN(2) == 0 {
			d = 1 + rng.IntN(domains-1)
		}
		local = strconv.AppendUint(append(local[:0], "person."...), rng.Uint64N(1<<40), 36)
		fields = append(fields[:0], "Firstname\x00Lastname\x00"...)
		fields = strconv.AppendInt(fields, int64(i), 10)
		if err := add(Row{Seq: Seq(i + 1), Local: local, Domain: names[d], Fields: fields}); err != nil {
			return err
		}
	}
	return nil
}

func benchLoad(b *testing.B, l *Ledger, name string, n, domains int) *Campaign {
	b.Helper()
	ld, err := l.Create(context.Background(), Meta{Name: name})
	if err != nil {
		b.Fatal(err)
	}
	if err := benchRows(n, domains, ld.Add); err != nil {
		b.Fatal(err)
	}
	c, err := ld.Commit(context.Background(), nil, uint64(n))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func openBench(b *testing.B) *Ledger {
	b.Helper()
	l, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// BenchmarkLoad takes -benchtime=1x; the rows are made meanwhile (about 0.2
// us of each).
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct {
		name       string
		n, domains int
	}{{"10", 10, 3}, {"1M", 1_000_000, 5000}, {"10M", 10_000_000, 200_000}} {
		b.Run(c.name, func(b *testing.B) {
			if c.n > 1_000_000 && testing.Short() {
				b.Skip("large")
			}
			l := openBench(b)
			resetPeak()
			from, bytes := cpu(), l.Stats().DiskBytes
			for i := 0; b.Loop(); i++ {
				benchLoad(b, l, strconv.Itoa(i), c.n, c.domains)
			}
			rows := float64(b.N * c.n)
			b.ReportMetric(float64((cpu()-from).Nanoseconds())/rows/1000, "cpu-us/row")
			b.ReportMetric(float64(l.Stats().DiskBytes-bytes)/rows, "B/row")
			b.ReportMetric(peak(), "peak-MiB")
		})
	}
}

// BenchmarkSend reads, leases and settles, each message as the engine does,
// with batches in flight per domain as connections would have them.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct {
		name       string
		n, domains int
	}{{"1domain", 1_000_000, 1}, {"5000domains", 500_000, 5000}} {
		b.Run(c.name, func(b *testing.B) {
			l := openBench(b)
			camp := benchLoad(b, l, "c", c.n, c.domains)
			if _, err := camp.Resume(context.Background(), day, Retry); err != nil {
				b.Fatal(err)
			}
			peer := l.Peer("mx1.mail.example", addrPort("192.0.2.1:25"), "a", "TLS1.3")
			resetPeak()
			from, bytes := cpu(), l.Stats()
			var flying sync.WaitGroup
			slots := make(chan struct{}, 64)
			send := func(d *Domain, batch *Batch) {
				flying.Add(1)
				slots <- struct{}{}
				l.Lease(batch, func(batch *Batch, err error) {
					if err != nil {
						b.Error(err)
					}
					go func() {
						for _, r := range batch.Recipients {
							l.Settle(&Settlement{
								Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, Via: peer, At: day, Took: 35 * time.Millisecond,
								Command: 7, Code: 250, Enhanced: [3]uint16{2, 0, 0}, Text: "Ok: queued as " + strconv.FormatUint(uint64(r.Seq)*2654435761, 16),
							})
						}
						<-slots
						flying.Done()
					}()
				})
			}
			b.ResetTimer()
			sent := 0
			for b.Loop() {
				if sent > 0 {
					b.Fatal("use -benchtime=1x")
				}
				camp.Domains(func(d *Domain) bool {
					for d.Fresh() > 0 {
						batch := new(Batch)
						if err := d.ReadFresh(batch, 64); err != nil {
							b.Fatal(err)
						}
						sent += len(batch.Recipients)
						send(d, batch)
					}
					return true
				})
				flying.Wait()
				if err := l.Flush(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(sent)
			s := l.Stats()
			b.ReportMetric(float64((cpu()-from).Nanoseconds())/n/1000, "cpu-us/msg")
			b.ReportMetric(n/float64(s.Commits-bytes.Commits), "msg/commit")
			b.ReportMetric(float64(s.WrittenBytes-bytes.WrittenBytes)/n, "written-B/msg")
			b.ReportMetric(float64(s.DiskBytes)/n, "disk-B/msg")
			b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(peak(), "peak-MiB")
			from = cpu()
			if r, err := l.Verify(context.Background()); err != nil || !r.OK() {
				b.Fatal(err, r.Problems)
			}
			b.ReportMetric(float64((cpu()-from).Nanoseconds())/n/1000, "verify-us/msg")
		})
	}
}

// BenchmarkResume opens a campaign of ten million that was sent in part, as
// after a kill, up to the first batch read. Takes -benchtime=1x.
func BenchmarkResume(b *testing.B) {
	if testing.Short() {
		b.Skip("large")
	}
	dir := b.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := benchLoad(b, l, "c", 10_000_000, 200_000)
	if _, err := c.Resume(context.Background(), day, Retry); err != nil {
		b.Fatal(err)
	}
	n := 0
	c.Domains(func(d *Domain) bool {
		var batch Batch
		if err := d.ReadFresh(&batch, 16); err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 1)
		if n++; n%100 == 0 {
			l.Lease(&batch, func(_ *Batch, err error) { done <- err })
			<-done
		} else {
			l.Lease(&batch, func(*Batch, error) {})
			for _, r := range batch.Recipients {
				l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Deferred, Due: day.Add(time.Duration(r.Seq) * time.Millisecond), Attempted: true, At: day, Code: 450, Text: "later"})
			}
		}
		return n < 60_000
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	resetPeak()
	for b.Loop() {
		if l, err = Open(dir, Options{}); err != nil {
			b.Fatal(err)
		}
		if c, err = l.Campaign("c"); err != nil {
			b.Fatal(err)
		}
		n, err := c.Resume(context.Background(), day, Retry)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n), "uncertain")
		var batch Batch
		if err := c.domain("mail-domain-0.example").ReadFresh(&batch, 16); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(peak(), "peak-MiB")
	if r, err := l.Verify(context.Background()); err != nil || !r.OK() {
		b.Fatal(err, r.Problems)
	}
	l.Close()
}
