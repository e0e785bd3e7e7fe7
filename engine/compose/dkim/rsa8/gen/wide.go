package main

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
	p.setMask()
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
