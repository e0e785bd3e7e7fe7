package main

import "fmt"

// half is the length of the halves that a number is squared in.
const half = digits / 2

// product is one product of two digits that adds to a column: its low or its
// high half.
type product struct {
	i, j int
	high bool
}

// column lists what adds twice to column k of half a number's square: the
// halves of digit products off the diagonal.
func column(k int) (twice []product) {
	for i := range half {
		if j := k - i; j > i && j < half {
			twice = append(twice, product{i, j, false})
		}
		if j := k - 1 - i; j > i && j < half {
			twice = append(twice, product{i, j, true})
		}
	}
	return twice
}

// diagonal is what adds once: digit k/2 times itself.
func diagonal(k int) product {
	return product{k / 2, k / 2, k%2 == 1}
}

// squared is where the digits of a number are while it is squared.
func squared(j int) string { return z(j) }

// zOver is the one register that is neither a digit's nor an accumulator's then.
const zOver = digits

// squareHalf squares ten digits, its columns in the order given: four at a time
// with two accumulators each are eight independent chains. twice, if set, may
// add to what is going to be doubled; done gets the finished column.
func (p *program) squareHalf(digit func(int) string, order []int, twice, done func(k int, acc string)) {
	const together, chains = 4, 2
	free := [together][chains]int{{zIndex, zQ}, {zQ2, zLoad}, {zPick, zPick + 1}, {zPick + 2, zPick + 3}}
	multiplyAdd := func(x product, acc string) {
		half := "L"
		if x.high {
			half = "H"
		}
		p.op("VPMADD52%sUQ %s, %s, %s", half, digit(x.i), digit(x.j), acc)
	}
	for ; len(order) > 0; order = order[together:] {
		var todo [together][]product
		most := 0
		acc := func(c, n int) string { return z(free[c][n]) }
		for c, k := range order[:together] {
			todo[c] = column(k)
			most = max(most, len(todo[c]))
			for n := range max(min(len(todo[c]), chains), 1) {
				p.zero(acc(c, n))
			}
		}
		for n := range most {
			for c := range together {
				if n < len(todo[c]) {
					multiplyAdd(todo[c][n], acc(c, n%chains))
				}
			}
		}
		for c, k := range order[:together] {
			if len(todo[c]) > 1 {
				p.op("VPADDQ %s, %[2]s, %[2]s", acc(c, 1), acc(c, 0))
			}
			if twice != nil {
				twice(k, acc(c, 0))
			}
			p.op("VPADDQ %[1]s, %[1]s, %[1]s", acc(c, 0))
			multiplyAdd(diagonal(k), acc(c, 0))
		}
		for c, k := range order[:together] {
			done(k, acc(c, 0))
		}
	}
}

// columns computes the 40 columns of the square of x, in Karatsuba's manner:
// with a number in halves, low + high*2^520,
//
//	L = low², H = high², S = (low+high)²
//	square = L + (S-L-H)*2^520 + H*2^1040
//
// which is 330 multiply-adds instead of 420. What it takes in additions besides
// costs less, since those run on other units, too. The
// sum low+high may be one bit longer than ten digits; S is then made of the ten
// digits s and that bit: s² + 2*s*2^520 + 2^1040. Since s has been carried and
// low and high have not, single columns may come out negative, hence the
// arithmetic shifts in the reduction.
func (p *program) columns() {
	low, high := squared, func(j int) string { return squared(half + j) }
	place := func(k int) string { return field("columns", k) }
	var inOrder, inPairs []int
	for k := range digits {
		inOrder = append(inOrder, k)
	}
	for k := range half {
		inPairs = append(inPairs, k, half+k)
	}

	p.setMask()
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", field("x", j), squared(j))
	}
	p.squareHalf(low, inOrder, nil, func(k int, acc string) {
		p.op("VMOVDQU64 %s, %s", acc, place(k))
	})
	for j := range half {
		p.op("VPADDQ %s, %[2]s, %[2]s", high(j), low(j))
	}
	sum := &program{}
	for j := range half - 1 {
		sum.carryOn(low(j), low(j+1))
	}
	sum.op("VPSRLQ $52, %s, %s", low(half-1), z(zOver))
	sum.op("VPANDQ %s, %[2]s, %[2]s", z(zMask), low(half-1))
	sum.op("VPTESTMQ %[1]s, %[1]s, K1", z(zOver))
	squareHigh := &program{}
	squareHigh.squareHalf(high, inOrder, nil, func(k int, acc string) {
		squareHigh.op("VMOVDQU64 %s, %s", acc, place(digits+k))
	})
	p.merge(squareHigh.lines, sum.lines)

	// Columns k and half+k of S go together, because both want the difference
	// of column half+k of L and column k of H, and both replace one of them.
	both := &program{}
	both.squareHalf(low, inPairs, func(k int, acc string) {
		if k >= half {
			both.op("VPADDQ %s, %[2]s, K1, %[2]s", low(k-half), acc)
		}
	}, func(k int, acc string) {
		if k < half {
			both.op("VMOVDQU64 %s, %s", place(half+k), z(zCarry))
			both.op("VPSUBQ %s, %[2]s, %[2]s", place(digits+k), z(zCarry))
			both.op("VPADDQ %s, %[2]s, %[2]s", z(zCarry), acc)
			both.op("VPSUBQ %s, %[2]s, %[2]s", place(k), acc)
		} else {
			both.op("VPSUBQ %s, %[2]s, %[2]s", z(zCarry), acc)
			both.op("VPSUBQ %s, %[2]s, %[2]s", place(digits+k), acc)
		}
		both.op("VMOVDQU64 %s, %s", acc, place(half+k))
	})
	quotient := &program{}
	quotient.foldQuotient(high(0), high(1))
	p.merge(both.lines, quotient.lines)
	p.op("VMOVDQU64 %s, %s", place(half+digits), z(zOver))
	p.addOne(z(zOver), "K1")
	p.op("VMOVDQU64 %s, %s", z(zOver), place(half+digits))
}

// reduceColumns takes the 30 columns that folding leaves back to the 20 digits of
// x. The instructions of picks run beside: picking needs the load units, reducing
// the multipliers.
func (p *program) reduceColumns(picks []string) {
	p.setMask()
	p.op("VMOVDQU64 %s, %s", field("k", 0), z(zK))
	for j := range window {
		p.op("VMOVDQU64 %s, %s", field("columns", half+j), rotated(0, j))
	}
	p.quotient(0)
	modulus := func(j int) string { return field("m", j) }
	body := &program{}
	for i := range half - 1 {
		body.reduce(i, modulus, func(j int) {
			// Each step computes the quotient of the next.
			if j == quotientAt {
				body.quotient(i + 1)
			}
		})
		body.op("VMOVDQU64 %s, %s", field("columns", half+i+window), rotated(i, 0))
	}
	p.merge(body.lines, picks)
	p.reduceAndCarry(half-1, modulus, func(j int) string { return field("x", j) })
}

// forBoth runs a phase for one prime (at DI) and then for the other; CX counts
// phases modulo 2. That the primes take turns matters: what a phase begins with was
// finished a phase ago; without that the multipliers would wait, for carries at the
// end of each phase and for memory, a quarter of the time.
func (p *program) forBoth(label string, phase func()) {
	p.raw(label + ":")
	phase()
	p.op("XCHGQ DI, SI")
	p.op("XORQ $1, CX")
	p.raw("\tJNZ " + label)
}

// The table of powers: windows of five bits, so 32 entries, in groups of four
// digits: while one squaring goes on, a group of the wanted entry is picked, and
// after five squarings the entry is complete. The comparisons that say which
// entry is wanted then serve four digits each.
const (
	entries   = 32
	groupSize = digits / windowBits

	windowBits = 5
)

// pick reads a group of the table, at R11, and leaves the wanted entry's in the
// zPick registers: masks decide, not an address. Each entry up to the wanted one
// replaces the one before it: zIndex is one bit that is doubled after each entry,
// and lies below 2^52 as long as the wanted entry has not been passed. That takes
// no constants from memory; the load units are what is scarce here. (Of the
// instructions that could do this, a masked load into the register would make each
// load wait for the one before it.)
func pick() []string {
	p := &program{}
	for e := range entries {
		mask := fmt.Sprintf("K%d", 1+e%7)
		p.op("VPTESTMQ %s, %s, %s", z(zIndex), z(zMask), mask)
		p.op("VPADDQ %[1]s, %[1]s, %[1]s", z(zIndex))
		for d := range groupSize {
			p.op("VPBLENDMQ %s, %[2]s, %[3]s, %[2]s", at("R11", (e*groupSize+d)*vector), z(zPick+d), mask)
		}
	}
	return p.lines
}

// squareAndMultiply: x = x^(2^squarings)*picked for both primes, where five
// squarings pick what they are followed by. The product goes through the same
// instructions as the squares from the fold on: with instructions of its own the
// kernels, 30 KB, threw each other out of the first level cache. So it picks, too:
// the first group once more.
func squareAndMultiply(p *program) {
	p.function("squareAndMultiply", "(r *[2]residue, window, squarings uint64)", 24)
	p.op("MOVQ r+0(FP), DI")
	p.op("ADDQ $%d, DI", middle*vector)
	p.op("LEAQ residue__size(DI), SI")
	p.op("XORQ CX, CX")
	p.op("MOVQ window+8(FP), DX")
	p.op("MOVQ squarings+16(FP), BX")
	p.op("XORQ R8, R8")
	p.op("XORQ R9, R9")
	p.raw("next:")
	p.op("TESTQ BX, BX")
	p.raw("\tJZ product")
	p.forBoth("square", p.columns)
	p.raw("\tJMP fold")
	p.forBoth("product", p.productColumns)
	p.op("XORQ R8, R8")
	p.op("XORQ R9, R9")
	p.forBoth("fold", p.fold)
	p.forBoth("reduce", func() {
		p.op("VPMOVZXBQ (residue_windows-%d)(DI)(DX*8), %s", middle*vector, z(zIndex))
		p.op("MOVQ $0x%x, AX", uint64(1)<<51)
		p.op("VPBROADCASTQ AX, %s", z(zLoad))
		p.op("VPSRLVQ %s, %s, %[1]s", z(zIndex), z(zLoad))
		p.op("LEAQ (residue_powers-%d)(DI)(R8*1), R11", middle*vector)
		p.op("LEAQ (residue_picked-%d)(DI)(R9*1), R12", middle*vector)
		for d := range groupSize {
			p.zero(z(zPick + d))
		}
		p.reduceColumns(pick())
		for d := range groupSize {
			p.op("VMOVDQU64 %s, %s", z(zPick+d), at("R12", d*vector))
		}
	})
	p.op("ADDQ $%d, R8", entries*groupSize*vector)
	p.op("ADDQ $%d, R9", groupSize*vector)
	p.op("SUBQ $1, BX")
	p.raw("\tJCC next")
	p.end()
}
