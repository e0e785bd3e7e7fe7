package main

// multiplyWide: dst = a*b/R² modulo m, with 40 digits: too many for the
// registers, so the accumulator is in memory. Two digits of b are taken at a
// time, which halves the traffic to it; the accumulator moves down by two. It
// serves the check of signatures, which is public arithmetic.
func multiplyWide(p *program) {
	const wide = 2 * digits
	const (
		accumulators = 8 // Z0 to Z7 take turns, for more to overlap
		zA           = 8 // to 10: the last three digits of a
		zM           = 11
		zB2          = 20 // the digit of b after the one in zB
	)
	a := func(j int) string { return z(zA + j%3) }
	m := func(j int) string { return z(zM + j%3) }
	low := func(x, y, acc string) { p.op("VPMADD52LUQ %s, %s, %s", x, y, acc) }
	high := func(x, y, acc string) { p.op("VPMADD52HUQ %s, %s, %s", x, y, acc) }

	p.function("multiplyWide", "(dst, a, b, m *wide, k *vector, sum *wide)", 48)
	p.op("MOVQ dst+0(FP), DI")
	p.op("MOVQ a+8(FP), SI")
	p.op("MOVQ b+16(FP), DX")
	p.op("MOVQ m+24(FP), CX")
	p.op("MOVQ k+32(FP), R8")
	p.op("MOVQ sum+40(FP), R9")
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.setMask()
	p.zero(z(0))
	for j := range wide {
		p.op("VMOVDQU64 %s, %s", z(0), at("R9", j*vector))
	}
	p.op("MOVQ $%d, BX", wide/2)
	p.raw("pair:")
	p.op("VMOVDQU64 %s, %s", at("DX", 0), z(zB))
	p.op("VMOVDQU64 %s, %s", at("DX", vector), z(zB2))
	for j := range wide + 2 {
		acc := z(j % accumulators)
		if j < wide {
			p.op("VMOVDQU64 %s, %s", at("R9", j*vector), acc)
			p.op("VMOVDQU64 %s, %s", at("SI", j*vector), a(j))
			p.op("VMOVDQU64 %s, %s", at("CX", j*vector), m(j))
			low(a(j), z(zB), acc)
		} else {
			p.zero(acc)
		}
		// What does not need the quotients comes first.
		if j >= 1 && j <= wide {
			high(a(j-1), z(zB), acc)
			low(a(j-1), z(zB2), acc)
		}
		if j >= 2 {
			high(a(j-2), z(zB2), acc)
		}
		if j == 1 || j == 2 {
			p.op("VPADDQ %s, %[2]s, %[2]s", z(zCarry), acc)
		}
		if j >= 1 && j <= wide {
			high(m(j-1), z(zQ), acc)
			if j < wide {
				low(m(j), z(zQ), acc)
			}
		}
		if j < 2 {
			// A quotient makes this digit zero; its carry is as in reduce.
			q := z([]int{zQ, zQ2}[j])
			p.zero(q)
			low(z(zK), acc, q)
			p.op("VPADDQ %s, %s, %s", z(zMask), acc, z(zCarry))
			p.op("VPSRLQ $52, %[1]s, %[1]s", z(zCarry))
			continue
		}
		high(m(j-2), z(zQ2), acc)
		if j <= wide {
			low(m(j-1), z(zQ2), acc)
		}
		p.op("VMOVDQU64 %s, %s", acc, at("R9", (j-2)*vector))
	}
	p.op("ADDQ $%d, DX", 2*vector)
	p.op("DECQ BX")
	p.op("JNZ pair")
	// Carry through, from memory to memory.
	p.zero(z(zCarry))
	for j := range wide {
		acc := z(j % accumulators)
		p.op("VPADDQ %s, %s, %s", at("R9", j*vector), z(zCarry), acc)
		p.op("VPSRLQ $52, %s, %s", acc, z(zCarry))
		p.op("VPANDQ %s, %[2]s, %[2]s", z(zMask), acc)
		p.op("VMOVDQU64 %s, %s", acc, at("DI", j*vector))
	}
	p.end()
}

// wipe clears every vector and mask register: VZEROUPPER leaves Z16 to Z31 and
// the low halves as they are.
func wipe(p *program) {
	p.function("wipeRegisters", "()", 0)
	for j := range 32 {
		p.zero(z(j))
	}
	for k := 1; k < 8; k++ {
		p.op("KXORW K%[1]d, K%[1]d, K%[1]d", k)
	}
	p.end()
}
