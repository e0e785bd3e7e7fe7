package main

// The order of instructions in this file is what makes the kernels fast. Two
// multiply-adds can begin in a cycle and each takes four, so eight independent
// ones must be ready at any time. A processor begins the oldest ready
// instruction, hence an instruction on the critical path (the next quotient)
// must stand early, before work that could wait; standing where it is needed it
// waits behind everything else and then everything waits for it. Measured on a
// Zen 5, multiply reaches 88 % of the multipliers' peak without this, 97 % with it.

// Where in a step the next quotient is computed, and how many digits behind the
// last step carrying follows.
const (
	quotientAt   = 5
	carryBehind  = 3
	bodiesInLoop = digits/stride - 1 // the last stride steps stand apart
)

func quotientRegister(i int) string { return z([]int{zQ, zQ2}[i%2]) }

// quotient computes what step i takes the modulus times: the lowest digit times
// k, modulo 2^52.
func (p *program) quotient(i int) {
	q := quotientRegister(i)
	p.zero(q)
	p.op("VPMADD52LUQ %s, %s, %s", z(zK), rotated(i, 0), q)
}

// reduce adds the multiple of the modulus that makes the lowest digit
// zero, and drops that digit: one step of Montgomery's reduction. The register
// of the dropped digit is left for the caller to set. behind, if set, adds to
// the program after each digit.
func (p *program) reduce(i int, modulus func(j int) string, behind func(j int)) {
	low, q := rotated(i, 0), quotientRegister(i)
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", modulus(j), z(zLoad))
		if j == 0 {
			// The low 52 bits become zero, so their sum needs no computing: it
			// carries 1 unless they were zero already.
			p.op("VPADDQ %s, %s, %s", z(zMask), low, z(zCarry))
			p.op("VPSRAQ $52, %[1]s, %[1]s", z(zCarry))
			p.op("VPADDQ %s, %[2]s, %[2]s", z(zCarry), rotated(i, 1))
		} else {
			p.op("VPMADD52LUQ %s, %s, %s", z(zLoad), q, rotated(i, j))
		}
		p.op("VPMADD52HUQ %s, %s, %s", z(zLoad), q, rotated(i, j+1))
		if behind != nil {
			behind(j)
		}
	}
}

// reduceAndCarry is the last step: carrying begins while it goes on. store is
// where each digit goes.
func (p *program) reduceAndCarry(i int, modulus func(j int) string, store func(j int) string) {
	finish := func(j int) {
		next := ""
		if j < digits-1 {
			next = rotated(i+1, j+1)
		}
		p.carryOn(rotated(i+1, j), next)
		p.op("VMOVDQU64 %s, %s", rotated(i+1, j), store(j))
	}
	// Digit j is complete when digit j+1 of the modulus has been added.
	p.reduce(i, modulus, func(j int) {
		if j >= carryBehind {
			finish(j - carryBehind)
		}
	})
	for j := digits - carryBehind; j < digits; j++ {
		finish(j)
	}
}

// multiplyStep adds the first factor (at SI) times the digit in zB. If reducing,
// step i's quotient is computed on the way.
func (p *program) multiplyStep(i int, reducing bool) {
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", at("SI", j*vector), z(zLoad))
		p.op("VPMADD52LUQ %s, %s, %s", z(zLoad), z(zB), rotated(i, j))
		p.op("VPMADD52HUQ %s, %s, %s", z(zLoad), z(zB), rotated(i, j+1))
		if reducing && j == quotientAt {
			p.quotient(i)
		}
	}
}

// multiply: dst = a*b/R modulo m, digit of b by digit of b.
func multiply(p *program) {
	p.function("multiply", "(dst, a, b, m *number, k *vector)", 40)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ m+24(FP), CX")
	p.op("MOVQ k+32(FP), R8")
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.setMask()
	p.clearAccumulators()
	modulus := func(j int) string { return at("CX", j*vector) }
	step := func(i int) {
		p.op("VMOVDQU64 %s, %s", at("DX", i*vector), z(zB))
		p.multiplyStep(i, true)
	}
	p.op("MOVQ $%d, BX", bodiesInLoop)
	p.raw("steps:")
	for i := range stride {
		step(i)
		p.reduce(i, modulus, nil)
		p.zero(rotated(i, 0))
	}
	p.turnBack()
	p.op("ADDQ $%d, DX", stride*vector)
	p.op("DECQ BX")
	p.op("JNZ steps")
	for i := range stride {
		step(i)
		if i < stride-1 {
			p.reduce(i, modulus, nil)
			p.zero(rotated(i, 0))
		}
	}
	p.reduceAndCarry(stride-1, modulus, func(j int) string { return at("DI", j*vector) })
	p.end()
}

// multiplyAdd: dst = a*b + c, without a modulus, 40 digits.
func multiplyAdd(p *program) {
	p.function("multiplyAdd", "(dst *wide, a, b, c *number)", 32)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ c+24(FP), CX")
	p.setMask()
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", at("CX", j*vector), z(j))
	}
	p.zero(z(digits))
	for i := range digits {
		p.op("VMOVDQU64 %s, %s", at("DX", i*vector), z(zB))
		p.multiplyStep(i, false)
		low := rotated(i, 0)
		p.carryOn(low, rotated(i, 1))
		p.op("VMOVDQU64 %s, %s", low, at("DI", i*vector))
		p.zero(low)
	}
	for j := range digits {
		next := ""
		if j < digits-1 {
			next = rotated(digits, j+1)
		}
		p.carryOn(rotated(digits, j), next)
		p.op("VMOVDQU64 %s, %s", rotated(digits, j), at("DI", (digits+j)*vector))
	}
	p.end()
}
