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

// Registers beside the accumulators Z0 to Z20, in the kernels that hold a
// modulus of 20 digits.
const (
	zB     = 21 // the digit of the second factor
	zQ     = 22 // the multiple of the modulus that clears the lowest digit
	zK     = 23 // -1/modulus, modulo 2^52
	zLoad  = 24 // and 25: digits on their way from memory
	zCarry = 26
	zMask  = 27 // 2^52-1, at the end only
	zIndex = 27 // the table entry wanted in each lane, before the end
	zPick  = 28 // to 31: four digits of it
)

// rotated is the register of the accumulator's digit j after i steps.
func rotated(i, j int) string { return z((i + j) % window) }

// normalize carries through the digits in registers reg(0..n-1) and stores
// them, each below 2^52. The top digit's carry is zero by the bounds in the
// package's documentation.
func (p *program) normalize(n int, reg func(int) string, store func(int) string) {
	p.op("MOVQ $0x%x, AX", uint64(1)<<52-1)
	p.op("VPBROADCASTQ AX, %s", z(zMask))
	for j := range n {
		if j < n-1 {
			p.op("VPSRLQ $52, %s, %s", reg(j), z(zCarry))
			p.op("VPADDQ %s, %s, %s", z(zCarry), reg(j+1), reg(j+1))
		}
		p.op("VPANDQ %s, %s, %s", z(zMask), reg(j), reg(j))
		if store != nil {
			p.op("VMOVDQU64 %s, %s", reg(j), store(j))
		}
	}
}

// reduce adds the multiple of the modulus (at CX) that makes the lowest digit
// zero, and drops that digit: one step of Montgomery's reduction. The register
// of the dropped digit is left for the caller to set.
func (p *program) reduce(i int) {
	low := rotated(i, 0)
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(zQ))
	p.op("VPMADD52LUQ %s, %s, %s", z(zK), low, z(zQ))
	for j := range digits {
		r := z(zLoad + j%2)
		p.op("VMOVDQU64 %d(CX), %s", j*vector, r)
		p.op("VPMADD52LUQ %s, %s, %s", r, z(zQ), rotated(i, j))
		p.op("VPMADD52HUQ %s, %s, %s", r, z(zQ), rotated(i, j+1))
		if j == 0 {
			// The low 52 bits are zero now; what is above them belongs to the
			// next digit.
			p.op("VPSRLQ $52, %s, %s", low, z(zCarry))
			p.op("VPADDQ %s, %s, %s", z(zCarry), rotated(i, 1), rotated(i, 1))
		}
	}
}

// multiplyStep adds the first factor (at SI) times the digit in zB.
func (p *program) multiplyStep(i int) {
	for j := range digits {
		r := z(zLoad + j%2)
		p.op("VMOVDQU64 %d(SI), %s", j*vector, r)
		p.op("VPMADD52LUQ %s, %s, %s", r, z(zB), rotated(i, j))
		p.op("VPMADD52HUQ %s, %s, %s", r, z(zB), rotated(i, j+1))
	}
}

func (p *program) clearAccumulators() {
	for j := range window {
		p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(j))
	}
}

// multiply: dst = a*b/2^1040 modulo m.
func multiply(p *program) {
	p.function("multiply", "(dst, a, b, m *number, k *vector)", 40)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ m+24(FP), CX")
	p.op("MOVQ k+32(FP), R8")
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.clearAccumulators()
	for i := range digits {
		p.op("VMOVDQU64 %d(DX), %s", i*vector, z(zB))
		p.multiplyStep(i)
		p.reduce(i)
		p.op("VPXORQ %[1]s, %[1]s, %[1]s", rotated(i, 0))
	}
	p.normalize(digits, func(j int) string { return rotated(digits, j) },
		func(j int) string { return fmt.Sprintf("%d(DI)", j*vector) })
	p.end()
}

// entries is the size of the table of powers: windows of five bits.
const entries = 32

// pickGroup is how many digits are picked from the table at once: one
// comparison serves them all.
const pickGroup = 4

// pick picks digits from..from+pickGroup-1 of the wanted entry: it reads every
// entry, and a mask keeps the wanted one. They go to the buffer at R9.
func pick(from int) []string {
	p := &program{}
	for e := range entries {
		mask := fmt.Sprintf("K%d", 1+e%7)
		p.op("VPCMPEQQ.BCST %d(R10), %s, %s", 8*e, z(zIndex), mask)
		// Three bases keep the displacements within one byte (of 64).
		base := []string{"R11", "R12", "R13"}[e/12]
		from := (e%12-6)*digits + from
		for d := range pickGroup {
			load := "VMOVDQU64"
			if e == 0 {
				load = "VMOVDQU64.Z"
			}
			p.op("%s %d(%s), %s, %s", load, (from+d)*vector, base, mask, z(zPick+d))
		}
	}
	for d := range pickGroup {
		p.op("VMOVDQU64 %s, %d(R9)", z(zPick+d), (from+d)*vector)
	}
	return p.lines
}

// multiplySelected: x = x*table[index]/2^1040 modulo m, where the index is each
// lane's own and secret. While four digits of the wanted entry are multiplied
// the next four are picked: picking needs the load units, multiplying the
// multipliers.
func multiplySelected(p *program) {
	p.raw("")
	for e := range entries {
		p.raw(fmt.Sprintf("DATA entryNumbers<>+%d(SB)/8, $%d", 8*e, e))
	}
	p.raw(fmt.Sprintf("GLOBL entryNumbers<>(SB), RODATA|NOPTR, $%d", 8*entries))

	p.function("multiplySelected", "(x *number, table *[32]number, index *[8]uint8, m *number, k *vector, picked *number)", 48)
	p.op("MOVQ x+0(FP), SI")
	p.op("MOVQ table+8(FP), R11")
	p.op("MOVQ index+16(FP), DX")
	p.op("MOVQ m+24(FP), CX")
	p.op("MOVQ k+32(FP), R8")
	p.op("MOVQ picked+40(FP), R9")
	p.op("LEAQ entryNumbers<>(SB), R10")
	p.op("ADDQ $%d, R11", 6*digits*vector)
	p.op("LEAQ %d(R11), R12", 12*digits*vector)
	p.op("LEAQ %d(R11), R13", 24*digits*vector)
	p.op("VPMOVZXBQ (DX), %s", z(zIndex))
	p.lines = append(p.lines, pick(0)...)
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.clearAccumulators()
	for group := 0; group < digits; group += pickGroup {
		steps := &program{}
		for i := group; i < group+pickGroup; i++ {
			steps.op("VMOVDQU64 %d(R9), %s", i*vector, z(zB))
			steps.multiplyStep(i)
			steps.reduce(i)
			steps.op("VPXORQ %[1]s, %[1]s, %[1]s", rotated(i, 0))
		}
		var next []string
		if group+pickGroup < digits {
			next = pick(group + pickGroup)
		}
		p.merge(steps.lines, next)
	}
	p.normalize(digits, func(j int) string { return rotated(digits, j) },
		func(j int) string { return fmt.Sprintf("%d(SI)", j*vector) })
	p.end()
}

// multiplyAdd: dst = a*b + c, without a modulus, 40 digits.
func multiplyAdd(p *program) {
	p.function("multiplyAdd", "(dst *wide, a, b, c *number)", 32)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ c+24(FP), CX")
	for j := range digits {
		p.op("VMOVDQU64 %d(CX), %s", j*vector, z(j))
	}
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(digits))
	p.op("MOVQ $0x%x, AX", uint64(1)<<52-1)
	p.op("VPBROADCASTQ AX, %s", z(zMask))
	for i := range digits {
		p.op("VMOVDQU64 %d(DX), %s", i*vector, z(zB))
		p.multiplyStep(i)
		low := rotated(i, 0)
		p.op("VPSRLQ $52, %s, %s", low, z(zCarry))
		p.op("VPADDQ %s, %s, %s", z(zCarry), rotated(i, 1), rotated(i, 1))
		p.op("VPANDQ %s, %s, %s", z(zMask), low, low)
		p.op("VMOVDQU64 %s, %d(DI)", low, i*vector)
		p.op("VPXORQ %[1]s, %[1]s, %[1]s", low)
	}
	p.normalize(digits, func(j int) string { return rotated(digits, j) },
		func(j int) string { return fmt.Sprintf("%d(DI)", (digits+j)*vector) })
	p.end()
}

// multiplyWide: dst = a*b/2^2080 modulo m, with 40 digits: too many for the
// registers, so the accumulator is in memory, shifted by a digit each time
// around. It serves the check of signatures, which is public arithmetic.
func multiplyWide(p *program) {
	const wide = 2 * digits
	const (
		acc0, acc1 = 0, 1 // accumulators, alternating for more to overlap
		a0         = 8    // and 9: digits of a
		m0         = 10   // and 11: digits of m
	)
	p.function("multiplyWide", "(dst, a, b, m *wide, k *vector, sum *wide)", 48)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ m+24(FP), CX")
	p.op("MOVQ k+32(FP), R8")
	p.op("MOVQ sum+40(FP), R9")
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(acc0))
	for j := range wide {
		p.op("VMOVDQU64 %s, %d(R9)", z(acc0), j*vector)
	}
	p.op("MOVQ $%d, BX", wide)
	p.raw("step:")
	p.op("VMOVDQU64 (DX), %s", z(zB))
	p.op("VMOVDQU64 (SI), %s", z(a0))
	p.op("VMOVDQU64 (CX), %s", z(m0))
	p.op("VMOVDQU64 (R9), %s", z(acc0))
	p.op("VPMADD52LUQ %s, %s, %s", z(a0), z(zB), z(acc0))
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(zQ))
	p.op("VPMADD52LUQ %s, %s, %s", z(zK), z(acc0), z(zQ))
	p.op("VPMADD52LUQ %s, %s, %s", z(m0), z(zQ), z(acc0))
	p.op("VPSRLQ $52, %s, %s", z(acc0), z(zCarry))
	for j := 1; j < wide; j++ {
		acc := z(j % 8)
		a, before := z(a0+j%2), z(a0+(j-1)%2)
		m, mBefore := z(m0+j%2), z(m0+(j-1)%2)
		p.op("VMOVDQU64 %d(R9), %s", j*vector, acc)
		p.op("VMOVDQU64 %d(SI), %s", j*vector, a)
		p.op("VMOVDQU64 %d(CX), %s", j*vector, m)
		p.op("VPMADD52HUQ %s, %s, %s", before, z(zB), acc)
		p.op("VPMADD52LUQ %s, %s, %s", a, z(zB), acc)
		p.op("VPMADD52HUQ %s, %s, %s", mBefore, z(zQ), acc)
		p.op("VPMADD52LUQ %s, %s, %s", m, z(zQ), acc)
		if j == 1 {
			p.op("VPADDQ %s, %s, %s", z(zCarry), acc, acc)
		}
		p.op("VMOVDQU64 %s, %d(R9)", acc, (j-1)*vector)
	}
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(acc1))
	p.op("VPMADD52HUQ %s, %s, %s", z(a0+(wide-1)%2), z(zB), z(acc1))
	p.op("VPMADD52HUQ %s, %s, %s", z(m0+(wide-1)%2), z(zQ), z(acc1))
	p.op("VMOVDQU64 %s, %d(R9)", z(acc1), (wide-1)*vector)
	p.op("ADDQ $%d, DX", vector)
	p.op("DECQ BX")
	p.op("JNZ step")
	// Carry through, from memory to memory.
	p.op("MOVQ $0x%x, AX", uint64(1)<<52-1)
	p.op("VPBROADCASTQ AX, %s", z(zMask))
	p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(zCarry))
	for j := range wide {
		acc := z(j % 8)
		p.op("VPADDQ %d(R9), %s, %s", j*vector, z(zCarry), acc)
		p.op("VPSRLQ $52, %s, %s", acc, z(zCarry))
		p.op("VPANDQ %s, %s, %s", z(zMask), acc, acc)
		p.op("VMOVDQU64 %s, %d(DI)", acc, j*vector)
	}
	p.end()
}

// wipe clears every vector and mask register: VZEROUPPER leaves Z16 to Z31 and
// the low halves as they are.
func wipe(p *program) {
	p.function("wipeRegisters", "()", 0)
	for j := range 32 {
		p.op("VPXORQ %[1]s, %[1]s, %[1]s", z(j))
	}
	for k := 1; k < 8; k++ {
		p.op("KXORW K%[1]d, K%[1]d, K%[1]d", k)
	}
	p.end()
}
