package rsa8

import "math/bits"

// Numbers are in digits of 52 bits, the width of the processor's multiplier,
// least significant first. R is 2^1040, one beyond what 20 digits hold.
const (
	digitBits = 52
	digitMask = 1<<digitBits - 1

	primeBits   = 1024
	primeBytes  = primeBits / 8
	primeWords  = primeBits / 64
	primeDigits = 20

	modulusBytes  = 2 * primeBytes
	modulusDigits = 2 * primeDigits
)

// publicExponent is the only one that the check of signatures is built for;
// nearly every key has it.
const publicExponent = 1<<16 + 1

// Exponents are taken in windows of five bits, most significant first: 205 of
// them hold 1,025 bits.
const (
	windowBits = 5
	windows    = (primeBits + windowBits - 1) / windowBits
	entries    = 1 << windowBits
)

// vector is the same digit of a number in each lane.
type vector [lanes]uint64

// number is a number of 20 digits in each lane, wide one of 40.
type (
	number [primeDigits]vector
	wide   [modulusDigits]vector
)

// table is 32 numbers in groups of four digits: squareAndMultiply reads it group by
// group.
const (
	groupDigits = primeDigits / windowBits
	groups      = primeDigits / groupDigits
)

type table [groups][entries][groupDigits]vector

// set sets an entry.
func (t *table) set(entry int, x *number) {
	for g := range t {
		copy(t[g][entry][:], x[g*groupDigits:])
	}
}

// get copies an entry; which one is no secret.
func (t *table) get(entry int, x *number) {
	for g := range t {
		copy(x[g*groupDigits:], t[g][entry][:])
	}
}

// setDigits cuts a big-endian number into digits. What it does depends on the
// lengths alone.
func setDigits(digits []uint64, bigEndian []byte) {
	clear(digits)
	bit := 0
	for i := len(bigEndian) - 1; i >= 0; i-- {
		b := uint64(bigEndian[i])
		d, shift := bit/digitBits, bit%digitBits
		digits[d] |= b << shift & digitMask
		if shift > digitBits-8 && d+1 < len(digits) {
			digits[d+1] |= b >> (digitBits - shift)
		}
		bit += 8
	}
}

// getBytes is the inverse of setDigits, for one lane.
func getBytes(bigEndian []byte, digits []vector, lane int) {
	var pending uint64
	var have, next int
	for i := len(bigEndian) - 1; i >= 0; i-- {
		if have < 8 {
			// At most 7+52 bits are pending.
			pending |= digits[next][lane] << have
			have += digitBits
			next++
		}
		bigEndian[i] = byte(pending)
		pending >>= 8
		have -= 8
	}
}

// setLane puts one lane's digits into their place.
func setLane(dst []vector, lane int, digits []uint64) {
	for j, d := range digits {
		dst[j][lane] = d
	}
}

// carry makes every digit of x lie in 0..2^52-1 again. The digits may be
// negative (as int64), the numbers may not, and their magnitude fits.
func carry(x *number) {
	var over [lanes]int64
	for j := range x {
		for l := range lanes {
			v := int64(x[j][l]) + over[l]
			x[j][l] = uint64(v) & digitMask
			over[l] = v >> digitBits
		}
	}
}

// subtractIfAtLeast subtracts m from x in those lanes where x is not below it,
// without a branch.
func subtractIfAtLeast(x, m []vector) {
	var borrow [lanes]uint64
	for j := range x {
		for l := range lanes {
			_, borrow[l] = bits.Sub64(x[j][l], m[j][l], borrow[l])
		}
	}
	var keep, over [lanes]uint64
	for l := range lanes {
		keep[l] = borrow[l] - 1 // all ones where m is taken off
	}
	for j := range x {
		for l := range lanes {
			v := x[j][l] - m[j][l]&keep[l] - over[l]
			x[j][l] = v & digitMask
			over[l] = v >> 63
		}
	}
}

// negativeInverse is -1/m modulo 2^52, for odd m: Newton's iteration doubles
// the correct bits, of which m itself gives the first three.
func negativeInverse(m uint64) uint64 {
	inverse := m
	for range 5 {
		inverse *= 2 - m*inverse
	}
	return -inverse & digitMask
}

// powerOfTwo is 2^n modulo m, for m with the top bit set, both with the least
// significant word first. Its time depends on n alone: m is secret.
func powerOfTwo(n int, m *[primeWords]uint64) [primeWords]uint64 {
	var x [primeWords]uint64
	x[0] = 1
	for range n {
		var twice, less [primeWords]uint64
		var out, borrow uint64
		for i := range x {
			twice[i] = x[i]<<1 | out
			out = x[i] >> 63
		}
		for i := range twice {
			less[i], borrow = bits.Sub64(twice[i], m[i], borrow)
		}
		// 2x is at least m where it overflowed or nothing was borrowed; then
		// all ones.
		keep := -(out | (1 - borrow))
		for i := range x {
			x[i] = less[i]&keep | twice[i]&^keep
		}
	}
	return x
}
