package main

// productColumns computes the 40 columns of x times picked, in Karatsuba's manner
// as columns does: with both in halves of ten digits,
//
//	L = low*low', H = high*high', S = (low+high)*(low'+high')
//	product = L + (S-L-H)*2^520 + H*2^1040
//
// Either sum is of ten digits and a bit.
func (p *program) productColumns() {
	const (
		zA     = 0               // to 9: ten digits of the first factor
		zAcc   = half            // to 20: eleven accumulators in rotation
		zB     = zAcc + half + 1 // and the next: a digit of the second factor
		zValue = zPick           // and the next: for what runs beside the products
	)
	column := func(k int) string { return field("columns", k) }
	digit := func(k int) string { return z(zAcc + k%(half+1)) }
	// rows multiplies ten digits by ten. begin gives the accumulator of column k its
	// first value, done gets the column when it is complete, but for its carries.
	rows := func(p *program, first, second func(int) string, begin, done func(k int, acc string)) {
		for j := range half {
			p.op("VMOVDQU64 %s, %s", first(j), z(zA+j))
		}
		for k := range half {
			begin(k, digit(k))
		}
		for i := range half {
			b := z(zB + i%2)
			p.op("VMOVDQU64 %s, %s", second(i), b)
			begin(half+i, digit(half+i))
			for n, h := range []string{"L", "H"} {
				for j := range half {
					p.op("VPMADD52%sUQ %s, %s, %s", h, b, z(zA+j), digit(i+j+n))
				}
			}
			done(i, digit(i))
		}
		for k := half; k < 2*half; k++ {
			done(k, digit(k))
		}
	}
	from := func(name string, offset int) func(int) string {
		return func(j int) string { return field(name, offset+j) }
	}
	p.setMask()
	// sum adds the halves of a factor; the mask says where that is longer than ten
	// digits.
	sum := func(name, to, mask string) []string {
		value, carry := z(zValue), z(zValue+1)
		s := &program{}
		for j := range half {
			s.op("VMOVDQU64 %s, %s", field(name, j), value)
			s.op("VPADDQ %s, %[2]s, %[2]s", field(name, half+j), value)
			if j > 0 {
				s.op("VPADDQ %s, %[2]s, %[2]s", carry, value)
			}
			s.op("VPSRLQ $52, %s, %s", value, carry)
			s.op("VPANDQ %s, %[2]s, %[2]s", z(zMask), value)
			s.op("VMOVDQU64 %s, %s", value, field(to, j))
		}
		s.op("VPTESTMQ %[1]s, %[1]s, %[2]s", carry, mask)
		return s.lines
	}
	// plain is a product that begins with zeros and goes to its columns as it is.
	plain := func(offset, to int) []string {
		q := &program{}
		rows(q, from("x", offset), from("picked", offset), func(_ int, acc string) {
			q.zero(acc)
		}, func(k int, acc string) {
			q.op("VMOVDQU64 %s, %s", acc, column(to+k))
		})
		return q.lines
	}
	p.merge(plain(0, 0), sum("x", "firstSum", "K1"))
	p.merge(plain(half, digits), sum("picked", "secondSum", "K2"))

	both := &program{}
	rows(both, from("firstSum", 0), from("secondSum", 0), func(k int, acc string) {
		if k < half {
			both.zero(acc)
			return
		}
		// Half of S's columns begin as what is added to them at last.
		k -= half
		both.op("VMOVDQU64 %s, %s", column(digits+k), acc)
		both.op("VPSUBQ %s, %[2]s, %[2]s", column(half+k), acc)
		both.op("VPSUBQ %s, %[2]s, %[2]s", column(digits+half+k), acc)
		both.op("VPADDQ %s, %[2]s, K1, %[2]s", field("secondSum", k), acc)
		both.op("VPADDQ %s, %[2]s, K2, %[2]s", field("firstSum", k), acc)
	}, func(k int, acc string) {
		if k < half {
			both.op("VPADDQ %s, %[2]s, %[2]s", column(half+k), acc)
			both.op("VPSUBQ %s, %[2]s, %[2]s", column(digits+k), acc)
			both.op("VPSUBQ %s, %[2]s, %[2]s", column(k), acc)
		}
		both.op("VMOVDQU64 %s, %s", acc, column(half+k))
	})
	quotient := &program{}
	quotient.foldQuotient(z(zValue), z(zValue+1))
	p.merge(both.lines, quotient.lines)
	p.op("KANDW K1, K2, K3")
	p.op("VMOVDQU64 %s, %s", column(half+digits), z(zValue))
	p.addOne(z(zValue), "K3")
	p.op("VMOVDQU64 %s, %s", z(zValue), column(half+digits))
}
