package main

// product is one product of two digits that adds to a column: its low or its
// high half.
type product struct {
	i, j int
	high bool
}

// column lists what adds twice to digit k of a square: the halves of digit
// products off the diagonal.
func column(k int) (twice []product) {
	for i := range digits {
		if j := k - i; j > i && j < digits {
			twice = append(twice, product{i, j, false})
		}
		if j := k - 1 - i; j > i && j < digits {
			twice = append(twice, product{i, j, true})
		}
	}
	return twice
}

// diagonal is what adds once: digit k/2 times itself.
func diagonal(k int) product {
	if k%2 == 0 {
		return product{k / 2, k / 2, false}
	}
	return product{(k - 1) / 2, (k - 1) / 2, true}
}

func (p *program) multiplyAccumulate(x product, reg func(int) string, acc string) {
	half := "L"
	if x.high {
		half = "H"
	}
	p.op("VPMADD52%sUQ %s, %s, %s", half, reg(x.i), reg(x.j), acc)
}

// square: x = x^(2^n)/2^(1040*(2^n-1)) modulo m, that is n squarings one after
// the other, x staying in registers between them.
func square(p *program) {
	// The number's digits are where the reduction leaves them, so that the next
	// squaring finds them: digit j after digits steps.
	x := func(j int) string { return rotated(digits, j) }
	// Z19 and Z21 to Z31 are free beside them. Four columns at a time, with two
	// accumulators each, make the eight independent chains that keep two
	// multipliers of four cycles' latency busy.
	free := []int{21, 22, 24, 25, 26, 28, 29, 30, 31, 19}
	const columns, chains = 4, 2

	p.function("square", "(x, m *number, k *vector, product *wide, n uint64)", 40)
	p.op("MOVQ x+0(FP), DI")
	p.op("MOVQ m+8(FP), CX")
	p.op("MOVQ k+16(FP), R8")
	p.op("MOVQ product+24(FP), R9")
	p.op("MOVQ n+32(FP), BX")
	p.op("VMOVDQU64 (R8), %s", z(zK))
	for j := range digits {
		p.op("VMOVDQU64 %d(DI), %s", j*vector, x(j))
	}
	p.raw("next:")
	for first := 0; first < 2*digits; first += columns {
		var todo [columns][]product
		var used [columns]int
		most := 0
		for c := range columns {
			todo[c] = column(first + c)
			used[c] = min(len(todo[c]), chains)
			most = max(most, len(todo[c]))
		}
		acc := func(c, n int) string { return z(free[c*chains+n]) }
		for c := range columns {
			for n := range max(used[c], 1) {
				p.op("VPXORQ %[1]s, %[1]s, %[1]s", acc(c, n))
			}
		}
		for n := range most {
			for c := range columns {
				if n < len(todo[c]) {
					p.multiplyAccumulate(todo[c][n], x, acc(c, n%chains))
				}
			}
		}
		for c := range columns {
			if used[c] > 1 {
				p.op("VPADDQ %s, %s, %s", acc(c, 1), acc(c, 0), acc(c, 0))
			}
			if used[c] > 0 {
				p.op("VPADDQ %[1]s, %[1]s, %[1]s", acc(c, 0))
			}
			p.multiplyAccumulate(diagonal(first+c), x, acc(c, 0))
			p.op("VMOVDQU64 %s, %d(R9)", acc(c, 0), (first+c)*vector)
		}
	}
	for j := range window {
		p.op("VMOVDQU64 %d(R9), %s", j*vector, rotated(0, j))
	}
	for i := range digits {
		p.reduce(i)
		if top := i + window; top < 2*digits {
			p.op("VMOVDQU64 %d(R9), %s", top*vector, rotated(i, 0))
		} else {
			p.op("VPXORQ %[1]s, %[1]s, %[1]s", rotated(i, 0))
		}
	}
	p.normalize(digits, x, nil)
	p.op("DECQ BX")
	p.op("JNZ next")
	for j := range digits {
		p.op("VMOVDQU64 %s, %d(DI)", x(j), j*vector)
	}
	p.end()
}
