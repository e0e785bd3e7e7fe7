//go:build linux

package rsa8

import (
	"context"
	"runtime"
	"syscall"
	"testing"
)

// threadCPU is the processor time of this thread in microseconds. On a machine
// with other work it tells more than the clock; two hyper-threads of one core
// still slow each other down, so compare figures of one run only.
func threadCPU() float64 {
	const thisThread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thisThread, &r); err != nil {
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
		t0 := threadCPU()
		for range 10 {
			for _, j := range jobs {
				j.Digest[0]++
			}
			if err := s.Sign(ctx, jobs); err != nil {
				b.Fatal(err)
			}
		}
		t1 := threadCPU()
		for _, j := range jobs {
			if err := signGeneric(j); err != nil {
				b.Fatal(err)
			}
		}
		eight += (t1 - t0) / 80
		one += (threadCPU() - t1) / 8
	}
	b.ReportMetric(eight/float64(b.N), "us/signature")
	b.ReportMetric(one/float64(b.N), "crypto/rsa-us")
	b.ReportMetric(one/eight, "ratio")
	b.ReportMetric(0, "ns/op")
}
