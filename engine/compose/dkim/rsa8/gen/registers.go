package main

import "fmt"

// digits is the length of a number modulo a prime: 20 digits of 52 bits hold
// 1,040 bits, sixteen more than a prime of 1,024.
const digits = 20

// A number being accumulated has one digit more, for what the top digit's
// product carries over. The registers of its digits rotate: when the lowest
// digit is done, its register becomes the new top.
const window = digits + 1

// vector is a digit of all eight lanes, in bytes.
const vector = 64

// stride is how many steps of multiply stand in its loop's body; then moves turn
// the registers back, which costs next to nothing (they are renamed, not
// executed).
const stride = 4

// Registers beside the accumulators Z0 to Z20, in the kernels that hold a
// modulus of 20 digits.
const (
	zIndex = 21 // the table entry wanted in each lane
	zB     = 21 // in products: the digit of the second factor
	zQ     = 22 // and zQ2: multiples of the modulus that clear the lowest digit
	zQ2    = 25 // (steps alternate between them)
	zK     = 23 // -1/modulus, modulo 2^52
	zLoad  = 24 // a digit on its way from memory
	zCarry = 26
	zMask  = 27 // 2^52-1
	zPick  = 28 // to 31: four digits of the wanted entry
)

// rotated is the register of the accumulator's digit j after i steps.
func rotated(i, j int) string { return z((i + j) % window) }

func (p *program) zero(register string) { p.op("VPXORQ %[1]s, %[1]s, %[1]s", register) }

func (p *program) setMask() {
	p.op("MOVQ $0x%x, AX", uint64(1)<<52-1)
	p.op("VPBROADCASTQ AX, %s", z(zMask))
}

func (p *program) clearAccumulators() {
	for j := range window {
		p.zero(z(j))
	}
}

// turnBack moves the accumulator to where it was stride steps ago.
func (p *program) turnBack() {
	// One cycle through all registers, since stride and window have no common
	// factor.
	p.op("VMOVDQA64 %s, %s", z(0), z(zCarry))
	at := 0
	for range window - 1 {
		from := (at + stride) % window
		p.op("VMOVDQA64 %s, %s", z(from), z(at))
		at = from
	}
	p.op("VMOVDQA64 %s, %s", z(zCarry), z(at))
}

// carryOn carries from one digit to the next, if there is one, and leaves the
// digit below 2^52. Digits are signed here: see columns. The top digit's carry
// is zero by the bounds in the package's documentation.
func (p *program) carryOn(digit, next string) {
	if next != "" {
		p.op("VPSRAQ $52, %s, %s", digit, z(zCarry))
		p.op("VPADDQ %s, %s, %s", z(zCarry), next, next)
	}
	p.op("VPANDQ %s, %s, %s", z(zMask), digit, digit)
}

// at is an address.
func at(base string, offset int) string { return fmt.Sprintf("%d(%s)", offset, base) }

// middle is what DI points behind a residue's beginning, in vectors: so all that
// is used again and again is within -128..127 of it, which takes one byte in an
// instruction. With four, products take a tenth longer.
const middle = 64

// field is an element of a field of the residue at DI, in vectors.
func field(name string, element int) string {
	return fmt.Sprintf("(residue_%s+%d)(DI)", name, (element-middle)*vector)
}
