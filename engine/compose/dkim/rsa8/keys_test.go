package rsa8

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"sync"
)

// random is a source that gives the same numbers for the same seed.
func random(seed uint64) *mathrand.ChaCha8 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return mathrand.NewChaCha8(s)
}

// lowestPrime is the least that the product of two such has 2,048 bits.
var lowestPrime = func() *big.Int {
	x := new(big.Int).Lsh(big.NewInt(1), 2047)
	return x.Sqrt(x).Add(x, big.NewInt(1))
}()

// usable: a prime of an RSA key with e = 65537.
func usable(p *big.Int) bool {
	return p.BitLen() == primeBits && p.Cmp(lowestPrime) >= 0 && p.ProbablyPrime(8) &&
		new(big.Int).Mod(p, big.NewInt(publicExponent)).Cmp(big.NewInt(1)) != 0
}

// search adds step until the number is a usable prime.
func search(from *big.Int, step int64) *big.Int {
	p := new(big.Int).Set(from)
	for !usable(p) {
		p.Add(p, big.NewInt(step))
	}
	return p
}

func power2(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }

func odd(x *big.Int) *big.Int { return x.SetBit(x, 0, 1) }

// edgePrimes are where digits, carries and bounds are at their extremes.
var edgePrimes = sync.OnceValue(func() []*big.Int {
	full := power2(primeBits)
	return []*big.Int{
		search(odd(new(big.Int).Set(lowestPrime)), 2),     // as small as can be
		search(new(big.Int).Sub(full, big.NewInt(1)), -2), // as large: nearly all digits full
		// Lowest digit 1 and 2^52-1: the extremes of k.
		searchHigh(big.NewInt(1), 1022),
		searchHigh(big.NewInt(digitMask), 1021, 1022),
		// Many empty digits.
		search(odd(sum(1023, 1022, 1020)), 2),
	}
})

// sum is a sum of powers of two.
func sum(powers ...uint) *big.Int {
	x := new(big.Int)
	for _, n := range powers {
		x.Add(x, power2(n))
	}
	return x
}

// searchHigh keeps the lowest digit as it is. The second highest bits tell
// primes apart: a key whose primes are close together is refused (FIPS 186-5
// A.1.3).
func searchHigh(low *big.Int, powers ...uint) *big.Int {
	p := low.Add(low, sum(append(powers, 1023)...))
	for !usable(p) {
		p.Add(p, power2(digitBits))
	}
	return p
}

// keyOf makes a key of two primes.
func keyOf(p, q *big.Int) *Key {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	private := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: publicExponent},
		D:         new(big.Int).ModInverse(big.NewInt(publicExponent), phi),
		Primes:    []*big.Int{p, q},
	}
	key, err := NewKey(private)
	if err != nil {
		panic(fmt.Sprintf("key of %x and %x: %v", p, q, err))
	}
	return key
}

// randomPrimes gives n primes; any two make a key.
func randomPrimes(n int) []*big.Int {
	var primes []*big.Int
	for len(primes) < n {
		p, err := rand.Prime(rand.Reader, primeBits)
		if err != nil {
			panic(err)
		}
		if usable(p) {
			primes = append(primes, p)
		}
	}
	return primes
}

// testKeys are two random keys and the edge primes paired with one another, in
// both orders.
var testKeys = sync.OnceValue(func() []*Key {
	var keys []*Key
	random := randomPrimes(3)
	keys = append(keys, keyOf(random[0], random[1]), keyOf(random[1], random[2]))
	edges := edgePrimes()
	for i, p := range edges {
		for _, q := range edges[:i] {
			keys = append(keys, keyOf(p, q), keyOf(q, p))
		}
	}
	return keys
})
