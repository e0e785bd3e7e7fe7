package rsa8

import (
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// toBig reads one lane.
func toBig(digits []vector, lane int) *big.Int {
	x := new(big.Int)
	for j := len(digits) - 1; j >= 0; j-- {
		x.Lsh(x, digitBits)
		x.Add(x, new(big.Int).SetUint64(digits[j][lane]))
	}
	return x
}

// setBig writes one lane.
func setBig(digits []vector, lane int, x *big.Int) {
	x = new(big.Int).Set(x)
	mask := big.NewInt(digitMask)
	for j := range digits {
		digits[j][lane] = new(big.Int).And(x, mask).Uint64()
		x.Rsh(x, digitBits)
	}
	if x.Sign() != 0 {
		panic("does not fit")
	}
}

// drawn makes numbers that are as likely at an extreme as random: full and
// empty digits, and ends of the range.
type drawn struct{ *mathrand.Rand }

func (r drawn) below(limit *big.Int) *big.Int {
	x := new(big.Int)
	switch r.IntN(6) {
	case 0:
		x.SetUint64(r.Uint64N(3))
	case 1:
		x.Sub(limit, new(big.Int).SetUint64(1+r.Uint64N(3)))
	case 2, 3:
		for range (limit.BitLen() + digitBits - 1) / digitBits {
			x.Lsh(x, digitBits)
			switch r.IntN(3) {
			case 0:
				x.Or(x, big.NewInt(digitMask))
			case 1:
				x.Or(x, big.NewInt(r.Int64N(digitMask+1)))
			}
		}
	default:
		for range (limit.BitLen() + 63) / 64 {
			x.Lsh(x, 64)
			x.Or(x, new(big.Int).SetUint64(r.Uint64()))
		}
	}
	return x.Mod(x, limit)
}

func (r drawn) odd(bits uint) *big.Int {
	x := r.below(power2(bits))
	return x.SetBit(odd(x), int(bits)-1, 1)
}

func TestLaneArithmetic(t *testing.T) {
	t.Parallel()
	r := drawn{mathrand.New(random(7))}
	for range 200 {
		var x, y, m number
		var want [lanes]*big.Int
		for l := range lanes {
			mod := r.odd(primeBits)
			a := r.below(new(big.Int).Lsh(mod, 1))
			b := r.below(new(big.Int).Lsh(mod, 1))
			setBig(m[:], l, mod)
			setBig(x[:], l, a)
			setBig(y[:], l, b)
			want[l] = new(big.Int).Add(new(big.Int).Sub(a, b), new(big.Int).Lsh(mod, 1))
		}
		for j := range x {
			for l := range lanes {
				x[j][l] += 2*m[j][l] - y[j][l]
			}
		}
		carry(&x)
		for l := range lanes {
			if toBig(x[:], l).Cmp(want[l]) != 0 {
				t.Fatalf("difference: %x, want %x", toBig(x[:], l), want[l])
			}
		}
		subtractIfAtLeast(y[:], m[:])
		for l := range lanes {
			if toBig(y[:], l).Cmp(toBig(m[:], l)) >= 0 {
				t.Fatalf("%x is not below its modulus", toBig(y[:], l))
			}
		}
	}
}

func TestDigitsComeBack(t *testing.T) {
	t.Parallel()
	source := random(8)
	for _, n := range []int{primeBytes, modulusBytes} {
		text, back := make([]byte, n), make([]byte, n)
		source.Read(text)
		digits := make([]uint64, n*8/digitBits+1)
		setDigits(digits, text)
		vectors := make([]vector, len(digits))
		setLane(vectors, 5, digits)
		if toBig(vectors, 5).Cmp(new(big.Int).SetBytes(text)) != 0 {
			t.Errorf("%d bytes: wrong digits", n)
		}
		getBytes(back, vectors, 5)
		if string(back) != string(text) {
			t.Errorf("%d bytes: %x became %x", n, text, back)
		}
	}
}
