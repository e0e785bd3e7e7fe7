//go:build amd64 && !purego

package rsa8

import (
	"crypto/rsa"
	"encoding/binary"
	"math/big"
)

// prime is what signing needs of one prime factor.
type prime struct {
	m       [primeDigits]uint64
	k       uint64              // -1/m modulo 2^52
	r2, r3  [primeDigits]uint64 // R² and R³ modulo m
	windows [windows]uint8      // the exponent: d modulo m-1
}

// prepared is a key as the eight lanes want it. It holds secrets; it lives as
// long as its Key.
type prepared struct {
	p, q     prime
	qInverse [primeDigits]uint64 // 1/q modulo p

	// Public: what the check needs.
	n    [modulusDigits]uint64
	nk   uint64                // -1/n modulo 2^52
	back [modulusDigits]uint64 // see check
}

// prepare returns nil for a key that does not fit the eight lanes: another
// size than 2,048 bits, another number of primes than two or primes of unequal
// length, another public exponent. private is valid and precomputed.
func prepare(private *rsa.PrivateKey) *prepared {
	if private.N.BitLen() != 8*modulusBytes || len(private.Primes) != 2 || private.E != publicExponent ||
		private.Primes[0].BitLen() != primeBits || private.Primes[1].BitLen() != primeBits ||
		private.Precomputed.Dp == nil || private.Precomputed.Dq == nil || private.Precomputed.Qinv == nil {
		return nil
	}
	key := &prepared{}
	key.p.set(private.Primes[0], private.Precomputed.Dp)
	key.q.set(private.Primes[1], private.Precomputed.Dq)
	var text [modulusBytes]byte
	defer clear(text[:])
	setDigits(key.qInverse[:], private.Precomputed.Qinv.FillBytes(text[:primeBytes]))

	setDigits(key.n[:], private.N.FillBytes(text[:]))
	key.nk = negativeInverse(key.n[0])
	// Of public numbers, so math/big will do: R² to the power of e, where 2^2080
	// is the R of 40 digits.
	back := new(big.Int).Lsh(big.NewInt(1), modulusDigits*digitBits)
	back.Exp(back, big.NewInt(publicExponent), private.N)
	setDigits(key.back[:], back.FillBytes(text[:]))
	return key
}

// set prepares one prime. Of math/big it uses FillBytes alone, which copies.
func (p *prime) set(m, exponent *big.Int) {
	var text [primeBytes]byte
	defer clear(text[:])
	m.FillBytes(text[:])
	setDigits(p.m[:], text[:])
	p.k = negativeInverse(p.m[0])

	var words [primeWords]uint64
	defer clear(words[:])
	for i := range words {
		words[i] = binary.BigEndian.Uint64(text[primeBytes-8*(i+1):])
	}
	for n, dst := range map[int][]uint64{2: p.r2[:], 3: p.r3[:]} {
		power := powerOfTwo(n*primeDigits*digitBits, &words)
		for i, w := range power {
			binary.BigEndian.PutUint64(text[primeBytes-8*(i+1):], w)
		}
		clear(power[:])
		setDigits(dst, text[:])
	}

	exponent.FillBytes(text[:])
	for i := range p.windows {
		// Window i holds the bits from low on, counted from the least
		// significant; there is one bit more than the exponent has.
		low := (windows - 1 - i) * windowBits
		var w uint8
		for b := windowBits - 1; b >= 0; b-- {
			bit := uint8(0)
			if at := low + b; at < primeBits {
				bit = text[primeBytes-1-at/8] >> (at % 8) & 1
			}
			w = w<<1 | bit
		}
		p.windows[i] = w
	}
}
