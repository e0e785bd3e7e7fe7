//go:build amd64 && !purego

package rsa8

import (
	"math"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// sample is one measured run and the class of its input.
type sample struct {
	took  float64
	class int
}

// welch is Welch's t statistic of two classes of samples: how many standard
// errors their means lie apart.
func welch(samples []sample) float64 {
	var n, sum, squares [2]float64
	for _, s := range samples {
		n[s.class]++
		sum[s.class] += s.took
	}
	for _, s := range samples {
		d := s.took - sum[s.class]/n[s.class]
		squares[s.class] += d * d
	}
	if n[0] < 2 || n[1] < 2 {
		return 0
	}
	e := squares[0]/(n[0]-1)/n[0] + squares[1]/(n[1]-1)/n[1]
	if e == 0 {
		if sum[0]/n[0] == sum[1]/n[1] {
			return 0
		}
		return math.Inf(1)
	}
	return (sum[0]/n[0] - sum[1]/n[1]) / math.Sqrt(e)
}

// leak is the largest |t| over several crops: slow outliers are interruptions,
// and a leak may hide behind them (as in dudect: Reparaz, Balasch, Verbauwhede,
// "Dude, is my code constant time?", 2017).
func leak(samples []sample) float64 {
	slices.SortFunc(samples, func(a, b sample) int {
		switch {
		case a.took < b.took:
			return -1
		case a.took > b.took:
			return 1
		}
		return 0
	})
	worst := 0.0
	for _, keep := range []float64{0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1} {
		worst = max(worst, math.Abs(welch(samples[:int(keep*float64(len(samples)))])))
	}
	return worst
}

// leakThreshold: dudect calls 4.5 suspicious and 10 certain. Between two
// hyper-threads nothing below 10 means much.
const leakThreshold = 10

// measure runs a class at random, n times.
func measure(n int, prepare func(class int), run func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := mathrand.New(random(11))
	samples := make([]sample, 0, n)
	for i := range n + n/10 {
		class := r.IntN(2)
		prepare(class)
		start := time.Now()
		run()
		took := time.Since(start)
		if i >= n/10 { // the first tenth warms up
			samples = append(samples, sample{float64(took), class})
		}
	}
	return leak(samples)
}

// The judge itself: it must see a difference of 1 % in noise of 10 %, and none
// where there is none.
func TestTheTimingTestSeesALeak(t *testing.T) {
	t.Parallel()
	r := mathrand.New(random(12))
	for _, c := range []struct {
		more float64
		want bool
	}{{0, false}, {1, true}} {
		var samples []sample
		for range 200_000 {
			class := r.IntN(2)
			took := 100 + 10*r.NormFloat64() + c.more*float64(class)
			if r.IntN(50) == 0 {
				took *= 5 // an interruption
			}
			samples = append(samples, sample{took, class})
		}
		if got := leak(samples); (got > leakThreshold) != c.want {
			t.Errorf("difference %v: t is %.1f", c.more, got)
		}
	}
}

// TestTimingIsIndependentOfSecrets takes half a minute and wants a machine with
// little else to do: PENSTOCK_TIMING=1 go test -run Timing -v
func TestTimingIsIndependentOfSecrets(t *testing.T) {
	needLanes(t)
	if os.Getenv("PENSTOCK_TIMING") == "" {
		t.Skip("set PENSTOCK_TIMING=1: takes half a minute of a quiet machine")
	}
	r := mathrand.New(random(13))
	e := newEight()
	s := e.s
	keys := testKeys()
	for l := range lanes {
		s.residues[0].setPrime(l, &keys[0].lanes.p)
		s.residues[1].setPrime(l, &keys[0].lanes.q)
	}
	randomDigits := func(x []vector) {
		for j := range x {
			for l := range lanes {
				x[j][l] = r.Uint64() & digitMask
			}
		}
	}
	var message, message2 wide
	randomDigits(message[:])
	s.message = message
	var exponents [2][windows][lanes]uint8
	var index [2][lanes]uint8
	var jobs [2][]*Job
	for class := range 2 {
		k := keys[class*2] // a random key, and one of edge primes
		for range lanes {
			jobs[class] = append(jobs[class], &Job{Key: k, Signature: make([]byte, k.Size())})
		}
	}
	var at int
	var x, y number
	for _, c := range []struct {
		name    string
		n       int
		prepare func(class int) // both classes do the same work
		run     func()
	}{
		{"exponent, none or random bits", 20_000, func(class int) {
			for i := range exponents[1] {
				for l := range lanes {
					exponents[1][i][l] = uint8(r.IntN(entries))
				}
			}
			for i := range s.residues {
				s.residues[i].windows = exponents[class]
			}
		}, e.power},
		{"message, fixed or random", 20_000, func(class int) {
			randomDigits(message2[:])
			s.message = [2]wide{message, message2}[class]
		}, e.power},
		{"table entry, first or random", 100_000, func(class int) {
			for l := range lanes {
				index[1][l] = uint8(r.IntN(entries))
			}
			for i := range s.residues {
				s.residues[i].windows[0] = index[class]
			}
		}, func() {
			for range 10 {
				squareAndMultiply(&s.residues, 0, windowBits)
			}
		}},
		{"number, below or above the modulus", 100_000, func(class int) {
			x, y = s.residues[0].m, s.residues[0].m
			x[0][0]--
			y[primeDigits-1][0]++
			if class == 1 {
				x, y = y, x
			}
		}, func() {
			for range 20 {
				y = x
				subtractIfAtLeast(y[:], s.residues[0].m[:])
			}
		}},
		{"key, random or sparse primes", 20_000, func(class int) { at = class }, func() {
			e.sign(jobs[at])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := measure(c.n, c.prepare, c.run)
			t.Logf("t = %.1f over %d runs", got, c.n)
			if got > leakThreshold {
				t.Errorf("t = %.1f: the time tells the classes apart", got)
			}
		})
	}
}
