//go:build linux

package rsa8

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// The arguments of getrusage (Linux).
const (
	thisProcess = 0
	thisThread  = 1
)

// cpuTime is the processor time of this thread or process in microseconds. On a machine
// with other work it tells more than the clock; two hyper-threads of one core
// still slow each other down, so compare figures of one run only.
func cpuTime(who int) float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		panic(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1000
}

// BenchmarkSignatures measures both paths in turn, so that whatever disturbs
// one disturbs the other, and reports processor time a signature, the check
// included, and the ratio.
func BenchmarkSignatures(b *testing.B) {
	if path != Eight {
		b.Skip("this process has no lanes: ", path)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	k := testKeys()[0]
	s := NewSigner()
	var jobs []*Job
	for range lanes {
		jobs = append(jobs, &Job{Key: k, Signature: make([]byte, k.Size())})
	}
	ctx := context.Background()
	var eight, one float64
	for b.Loop() {
		t0 := cpuTime(thisThread)
		for range 10 {
			for _, j := range jobs {
				j.Digest[0]++
			}
			if err := s.Sign(ctx, jobs); err != nil {
				b.Fatal(err)
			}
		}
		t1 := cpuTime(thisThread)
		for _, j := range jobs {
			if err := signGeneric(j); err != nil {
				b.Fatal(err)
			}
		}
		eight += (t1 - t0) / 80
		one += (cpuTime(thisThread) - t1) / 8
	}
	b.ReportMetric(eight/float64(b.N), "us/signature")
	b.ReportMetric(one/float64(b.N), "crypto/rsa-us")
	b.ReportMetric(one/eight, "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBatcher has callers with a few jobs each hand them in again and
// again: processor time a signature shows how full the batches get.
func BenchmarkBatcher(b *testing.B) {
	k := testKeys()[0]
	for _, c := range []struct{ callers, jobs int }{{1, 1}, {4, 4}, {32, 1}, {2, 16}} {
		b.Run(fmt.Sprintf("%d callers of %d", c.callers, c.jobs), func(b *testing.B) {
			batcher := mustBatcher(b, Options{})
			before := cpuTime(thisProcess)
			var callers sync.WaitGroup
			for range c.callers {
				callers.Go(func() {
					var keys []*Key
					for range c.jobs {
						keys = append(keys, k)
					}
					jobs := jobsFor(keys...)
					for range b.N {
						if err := batcher.Sign(b.Context(), jobs); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			signatures := float64(b.N * c.callers * c.jobs)
			b.ReportMetric((cpuTime(thisProcess)-before)/signatures, "cpu-us/signature")
			b.ReportMetric(signatures/b.Elapsed().Seconds(), "signatures/s")
		})
	}
}
