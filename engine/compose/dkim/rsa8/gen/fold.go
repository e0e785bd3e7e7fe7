package main

// quarter is the length of the halves that a fold's quotient is multiplied in.
const quarter = half / 2

// foldQuotient makes ten proper digits of the ten lowest columns and what they
// carry on, and adds the two halves of those digits: what fold multiplies. value
// and carry are registers that it may use.
func (p *program) foldQuotient(value, carry string) {
	for j := range half {
		if j == 0 {
			p.op("VMOVDQU64 %s, %s", field("columns", j), value)
		} else {
			p.op("VPADDQ %s, %s, %s", field("columns", j), carry, value)
		}
		p.op("VPSRAQ $52, %s, %s", value, carry)
		p.op("VPANDQ %s, %[2]s, %[2]s", z(zMask), value)
		p.op("VMOVDQU64 %s, %s", value, field("folded", j))
	}
	p.op("VMOVDQU64 %s, %s", carry, field("foldedCarry", 0))
	for j := range quarter {
		p.op("VMOVDQU64 %s, %s", field("folded", j), value)
		p.op("VPADDQ %s, %[2]s, %[2]s", field("folded", quarter+j), value)
		if j > 0 {
			p.op("VPADDQ %s, %[2]s, %[2]s", carry, value)
		}
		p.op("VPSRLQ $52, %s, %s", value, carry)
		p.op("VPANDQ %s, %[2]s, %[2]s", z(zMask), value)
		p.op("VMOVDQU64 %s, %s", value, field("foldedSum", j))
	}
	p.op("VMOVDQU64 %s, %s", carry, field("foldedSum", quarter))
}

// fold takes the ten lowest of the 40 columns off: it adds them, times 2^-520
// modulo m, to the others. The product of ten digits and twenty is two of ten and
// ten, and these are made in Karatsuba's manner of three of five and five each:
// 300 multiply-adds instead of 400.
//
// Where low and high are the halves of the ten digits, and even and odd those of
// ten digits of the inverse, the columns get
//
//	low*even + ((low+high)*(even+odd) - low*even - high*odd)*2^260 + high*odd*2^520
//
// Sums are of five digits and a bit, as in columns; the bits choose by mask what
// is added besides.
func (p *program) fold() {
	q := func(j int) string { return z(j) }
	upper := func(j int) string { return z(quarter + j) }
	a := func(k int) string { return z(half + k) }
	b := func(k int) string { return z(2*half + k) }
	x, y := z(3*half), z(3*half+1)
	column := func(k int) string { return field("columns", k) }
	// products adds two products of five digits, in turns, for more to overlap.
	products := func(first, second func(int) string, constant string, firstAt, secondAt int, done func(i int)) {
		for i := range quarter {
			p.op("VMOVDQU64 %s, %s", field(constant, firstAt+i), x)
			p.op("VMOVDQU64 %s, %s", field(constant, secondAt+i), y)
			for n, h := range []string{"L", "H"} {
				for j := range quarter {
					p.op("VPMADD52%sUQ %s, %s, %s", h, x, first(j), a(i+j+n))
					p.op("VPMADD52%sUQ %s, %s, %s", h, y, second(j), b(i+j+n))
				}
			}
			done(i)
		}
	}
	for j := range half {
		p.op("VMOVDQU64 %s, %s", field("folded", j), q(j))
	}
	for pair := range 2 {
		for k := range half {
			p.zero(a(k))
			p.zero(b(k))
		}
		at := half * (1 + pair)
		products(q, upper, "inverse", half*pair, half*pair+quarter, func(k int) {
			// The lower half of either product is complete.
			p.op("VPADDQ %s, %s, %s", column(at+k), a(k), x)
			if pair == 0 && k == 0 {
				p.op("VPADDQ %s, %[2]s, %[2]s", field("foldedCarry", 0), x)
			}
			p.op("VMOVDQU64 %s, %s", x, column(at+k))
			p.op("VPADDQ %s, %[2]s, %[2]s", b(k), a(k))
		})
		for k := range quarter {
			p.op("VPSUBQ %s, %s, %s", a(k), a(quarter+k), y)
			p.op("VPADDQ %s, %[2]s, %[2]s", column(at+quarter+k), y)
			p.op("VMOVDQU64 %s, %s", y, column(at+quarter+k))
			p.op("VPSUBQ %s, %s, %s", a(quarter+k), b(k), x)
			p.op("VPSUBQ %s, %[2]s, %[2]s", b(quarter+k), x)
			p.op("VPADDQ %s, %[2]s, %[2]s", column(at+half+k), x)
			p.op("VMOVDQU64 %s, %s", x, column(at+half+k))
			p.op("VPADDQ %s, %[2]s, %[2]s", column(at+half+quarter+k), b(quarter+k))
			p.op("VMOVDQU64 %s, %s", b(quarter+k), column(at+half+quarter+k))
		}
	}
	// K1: the sum of the ten digits' halves is longer; K2 and K3: those of the
	// inverse's; K4 and K5: both.
	for n, from := range []string{field("foldedSum", quarter), field("longer", 0), field("longer", 1)} {
		p.op("VMOVDQU64 %s, %s", from, x)
		p.op("VPTESTMQ %[1]s, %[1]s, K%[2]d", x, 1+n)
	}
	p.op("KANDW K1, K2, K4")
	p.op("KANDW K1, K3, K5")
	for j := range quarter {
		p.op("VMOVDQU64 %s, %s", field("foldedSum", j), q(j))
	}
	for k := range half {
		p.op("VMOVDQU64 %s, %s", column(half+quarter+k), a(k))
		p.op("VMOVDQU64 %s, %s", column(2*half+quarter+k), b(k))
	}
	for k := range quarter {
		p.op("VPADDQ %s, %[2]s, K1, %[2]s", field("sums", k), a(quarter+k))
		p.op("VPADDQ %s, %[2]s, K1, %[2]s", field("sums", quarter+k), b(quarter+k))
		p.op("VPADDQ %s, %[2]s, K2, %[2]s", q(k), a(quarter+k))
		p.op("VPADDQ %s, %[2]s, K3, %[2]s", q(k), b(quarter+k))
	}
	p.addOne(b(0), "K4")
	p.op("VMOVDQU64 %s, %s", column(3*half+quarter), x)
	p.addOne(x, "K5")
	p.op("VMOVDQU64 %s, %s", x, column(3*half+quarter))
	done := func(k int) {
		p.op("VMOVDQU64 %s, %s", a(k), column(half+quarter+k))
		p.op("VMOVDQU64 %s, %s", b(k), column(2*half+quarter+k))
	}
	products(q, q, "sums", 0, quarter, done)
	for k := quarter; k < half; k++ {
		done(k)
	}
}

// one is what addOne adds.
func one(p *program) {
	p.raw("")
	p.raw("DATA one<>(SB)/8, $1")
	p.raw("GLOBL one<>(SB), RODATA|NOPTR, $8")
}

// addOne adds 1 in the lanes of a mask.
func (p *program) addOne(register, mask string) {
	p.op("VPADDQ.BCST one<>(SB), %[1]s, %[2]s, %[1]s", register, mask)
}
