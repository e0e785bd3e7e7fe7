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
	for l := range lanes {
		m[l], a[l], b[l], c[l] = r.odd(primeBits), r.below(bigR), r.below(power2(primeBits)), r.below(bigR)
		setBig(s.m[:], l, m[l])
		s.k[l] = negativeInverse(s.m[0][l])
	}
	load := func(dst *number, from *[lanes]*big.Int) {
		for l := range lanes {
			setBig(dst[:], l, from[l])
		}
	}

	load(&s.base, &a)
	load(&s.h, &b)
	multiply(&s.x, &s.base, &s.h, &s.m, &s.k)
	for l := range lanes {
		// Below a*b/R + m.
		bound := new(big.Int).Mul(a[l], b[l])
		bound.Add(bound.Div(bound, bigR), m[l]).Add(bound, big.NewInt(1))
		congruent(t, "multiply", s.x[:], l, montgomery(a[l], b[l], m[l], 1040), m[l], bound)
	}
	aliased := s.base
	multiply(&aliased, &aliased, &s.h, &s.m, &s.k)
	if aliased != s.x {
		t.Fatal("multiply in place gives something else")
	}

	multiplyAdd(&s.signature, &s.base, &s.h, &s.sq) // sq is zero
	for l := range lanes {
		if want := new(big.Int).Mul(a[l], b[l]); toBig(s.signature[:], l).Cmp(want) != 0 {
			t.Fatalf("multiplyAdd of %x and %x", a[l], b[l])
		}
	}
	load(&s.sq, &c)
	multiplyAdd(&s.signature, &s.base, &s.h, &s.sq)
	for l := range lanes {
		want := new(big.Int).Mul(a[l], b[l])
		if want.Add(want, c[l]); toBig(s.signature[:], l).Cmp(want) != 0 {
			t.Fatalf("multiplyAdd of %x, %x and %x", a[l], b[l], c[l])
		}
	}

	for l := range lanes {
		a[l] = r.below(operand)
	}
	n := 1 + r.IntN(6)
	load(&s.x, &a)
	square(&s.x, &s.m, &s.k, &s.product, uint64(n))
	for l := range lanes {
		want := a[l]
		for range n {
			want = montgomery(want, want, m[l], 1040)
		}
		congruent(t, "square", s.x[:], l, want, m[l], power2(1025))
	}

	var wanted [lanes]*big.Int
	var index [lanes]uint8
	for l := range lanes {
		index[l] = uint8(r.IntN(entries))
	}
	for i := range entries {
		for l := range lanes {
			x := r.below(operand)
			setBig(s.h[:], l, x)
			if int(index[l]) == i {
				wanted[l] = x
			}
		}
		s.powers.set(i, &s.h)
	}
	load(&s.x, &a)
	squareAndPick(&s.x, &s.m, &s.k, &s.product, &s.picked, &s.powers, &index)
	for l := range lanes {
		if toBig(s.picked[:], l).Cmp(wanted[l]) != 0 {
			t.Fatalf("lane %d: another entry than %d was picked", l, index[l])
		}
		want := a[l]
		for range windowBits {
			want = montgomery(want, want, m[l], 1040)
		}
		congruent(t, "squareAndPick", s.x[:], l, want, m[l], power2(1025))
	}

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
