//go:build amd64 && !purego

package rsa8

import (
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// montgomery is a*b/2^shift modulo m, in 0..m-1.
func montgomery(a, b, m *big.Int, shift uint) *big.Int {
	x := new(big.Int).Mul(a, b)
	x.Mul(x, new(big.Int).ModInverse(power2(shift), m))
	return x.Mod(x, m)
}

// congruent checks a result against its value, its bound and its digits.
func congruent(t *testing.T, what string, got []vector, lane int, want, m, bound *big.Int) {
	t.Helper()
	for j := range got {
		if got[j][lane] > digitMask {
			t.Fatalf("%s: digit %d is %x", what, j, got[j][lane])
		}
	}
	x := toBig(got, lane)
	if x.Cmp(bound) >= 0 {
		t.Fatalf("%s: %x is not below its bound", what, x)
	}
	if x.Mod(x, m).Cmp(want) != 0 {
		t.Fatalf("%s: %x, want %x", what, x, want)
	}
}

// bigR is 2^1040; operand is the largest that signing multiplies, 2^1027 (see
// the package's documentation).
var (
	bigR    = power2(primeDigits * digitBits)
	operand = power2(1027)
)

func checkKernels(t *testing.T, seed uint64) {
	r := drawn{mathrand.New(random(seed))}
	s := newEight().s
	var a, b, m, c [lanes]*big.Int
	p := &s.residues[0]
	for l := range lanes {
		m[l], a[l], b[l], c[l] = r.odd(primeBits), r.below(bigR), r.below(power2(primeBits)), r.below(bigR)
		setBig(p.m[:], l, m[l])
		p.k[l] = negativeInverse(p.m[0][l])
	}
	load := func(dst *number, from *[lanes]*big.Int) {
		for l := range lanes {
			setBig(dst[:], l, from[l])
		}
	}

	load(&p.base, &a)
	load(&s.h, &b)
	multiply(&p.x, &p.base, &s.h, &p.m, &p.k)
	for l := range lanes {
		// Below a*b/R + m.
		bound := new(big.Int).Mul(a[l], b[l])
		bound.Add(bound.Div(bound, bigR), m[l]).Add(bound, big.NewInt(1))
		congruent(t, "multiply", p.x[:], l, montgomery(a[l], b[l], m[l], 1040), m[l], bound)
	}
	aliased := p.base
	multiply(&aliased, &aliased, &s.h, &p.m, &p.k)
	if aliased != p.x {
		t.Fatal("multiply in place gives something else")
	}

	multiplyAdd(&s.signature, &p.base, &s.h, &s.sq) // sq is zero
	for l := range lanes {
		if want := new(big.Int).Mul(a[l], b[l]); toBig(s.signature[:], l).Cmp(want) != 0 {
			t.Fatalf("multiplyAdd of %x and %x", a[l], b[l])
		}
	}
	load(&s.sq, &c)
	multiplyAdd(&s.signature, &p.base, &s.h, &s.sq)
	for l := range lanes {
		want := new(big.Int).Mul(a[l], b[l])
		if want.Add(want, c[l]); toBig(s.signature[:], l).Cmp(want) != 0 {
			t.Fatalf("multiplyAdd of %x, %x and %x", a[l], b[l], c[l])
		}
	}

	checkPhases(t, r, s)

	for l := range lanes {
		m[l] = r.odd(8 * modulusBytes)
		a[l], b[l] = r.below(power2(2049)), r.below(power2(2049))
		setBig(s.n[:], l, m[l])
		setBig(s.back[:], l, a[l])
		setBig(s.signature[:], l, b[l])
		s.nk[l] = negativeInverse(s.n[0][l])
	}
	multiplyWide(&s.checked, &s.back, &s.signature, &s.n, &s.nk, &s.sum)
	for l := range lanes {
		congruent(t, "multiplyWide", s.checked[:], l, montgomery(a[l], b[l], m[l], 2080), m[l], power2(2049))
	}
	wideAliased := s.back
	multiplyWide(&wideAliased, &wideAliased, &s.signature, &s.n, &s.nk, &s.sum)
	if wideAliased != s.checked {
		t.Fatal("multiplyWide in place gives something else")
	}
}

// checkPhases checks the kernels that work on both residues.
func checkPhases(t *testing.T, r drawn, s *scratch) {
	var x, y, m [2][lanes]*big.Int
	s.setOne()
	for i := range s.residues {
		p := &s.residues[i]
		for l := range lanes {
			m[i][l], x[i][l], y[i][l] = r.odd(primeBits), r.below(operand), r.below(operand)
			setBig(p.m[:], l, m[i][l])
			p.k[l] = negativeInverse(p.m[0][l])
			setBig(p.x[:], l, x[i][l])
			setBig(p.picked[:], l, y[i][l])
		}
		p.setInverse(&s.one)
		for l := range lanes {
			want := new(big.Int).ModInverse(power2(520), m[i][l])
			congruent(t, "inverse", p.inverse[:], l, want, m[i][l], new(big.Int).Add(m[i][l], big.NewInt(1)))
		}
	}
	squareAndMultiply(&s.residues, 0, 0)
	for i := range s.residues {
		for l := range lanes {
			congruent(t, "squareAndMultiply, a product", s.residues[i].x[:], l, montgomery(x[i][l], y[i][l], m[i][l], 1040), m[i][l], power2(1026))
		}
	}

	var wanted [2][lanes]*big.Int
	at := r.IntN(windows)
	for i := range s.residues {
		p := &s.residues[i]
		for l := range lanes {
			setBig(p.x[:], l, x[i][l])
			p.windows[at][l] = uint8(r.IntN(entries))
		}
		for n := range entries {
			for l := range lanes {
				entry := r.below(operand)
				setBig(s.h[:], l, entry)
				if int(p.windows[at][l]) == n {
					wanted[i][l] = entry
				}
			}
			p.powers.set(n, &s.h)
		}
	}
	squareAndMultiply(&s.residues, uint64(at), windowBits)
	for i := range s.residues {
		p := &s.residues[i]
		for l := range lanes {
			want := x[i][l]
			for range windowBits {
				want = montgomery(want, want, m[i][l], 1040)
			}
			want = montgomery(want, wanted[i][l], m[i][l], 1040)
			congruent(t, "squareAndMultiply, a window", p.x[:], l, want, m[i][l], power2(1026))
		}
	}
}

func TestKernelsAgreeWithMathBig(t *testing.T) {
	needLanes(t)
	t.Parallel()
	for seed := range uint64(50) {
		checkKernels(t, seed)
	}
}

func FuzzKernels(f *testing.F) {
	needLanes(f)
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { checkKernels(t, seed) })
}

func TestPreparedNumbers(t *testing.T) {
	needLanes(t)
	t.Parallel()
	for _, k := range testKeys() {
		for i, p := range []*prime{&k.lanes.p, &k.lanes.q} {
			m := k.private.Primes[i]
			var v [4]number
			setLane(v[0][:], 0, p.m[:])
			setLane(v[1][:], 0, p.r2[:])
			setLane(v[2][:], 0, p.r3[:])
			if toBig(v[0][:], 0).Cmp(m) != 0 {
				t.Error("prime is wrong")
			}
			for n, got := range map[uint]*big.Int{2: toBig(v[1][:], 0), 3: toBig(v[2][:], 0)} {
				if want := power2(n * 1040); got.Cmp(want.Mod(want, m)) != 0 {
					t.Errorf("R^%d is wrong", n)
				}
			}
			exponent := new(big.Int)
			for _, w := range p.windows {
				exponent.Lsh(exponent, windowBits).Or(exponent, big.NewInt(int64(w)))
			}
			want := []*big.Int{k.private.Precomputed.Dp, k.private.Precomputed.Dq}[i]
			if exponent.Cmp(want) != 0 {
				t.Error("exponent is wrong")
			}
			if k := new(big.Int).SetUint64(p.k); k.Mul(k, m).Add(k, big.NewInt(1)).TrailingZeroBits() < digitBits {
				t.Error("k is wrong")
			}
		}
	}
}
