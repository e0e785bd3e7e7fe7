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

// squared is where the digits of a number are while it is squared again and
// again: where the reduction leaves them.
func squared(j int) string { return rotated(stride, j) }

// zOver is the one register that is neither an accumulator's nor a digit's then.
const zOver = stride - 1

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

// columns computes the 40 columns of a square, to R9, in Karatsuba's manner:
// with a number in halves, low + high*2^520,
//
//	L = low², H = high², S = (low+high)²
//	square = L + (S-L-H)*2^520 + H*2^1040
//
// which is 330 multiply-adds instead of 420. What it takes in additions besides
// costs less, since those run on other units, too: altogether it saves 3 %. The
// sum low+high may be one bit longer than ten digits; S is then made of the ten
// digits s and that bit: s² + 2*s*2^520 + 2^1040. Since s has been carried and
// low and high have not, single columns may come out negative, hence the
// arithmetic shifts in the reduction.
func (p *program) columns() {
	low, high := squared, func(j int) string { return squared(half + j) }
	place := func(column int) string { return at("R9", column*vector) }
	var inOrder, inPairs []int
	for k := range digits {
		inOrder = append(inOrder, k)
	}
	for k := range half {
		inPairs = append(inPairs, k, half+k)
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
	p.squareHalf(low, inPairs, func(k int, acc string) {
		if k >= half {
			p.op("VPADDQ %s, %[2]s, K1, %[2]s", low(k-half), acc)
		}
	}, func(k int, acc string) {
		if k < half {
			p.op("VMOVDQU64 %s, %s", place(half+k), z(zCarry))
			p.op("VPSUBQ %s, %[2]s, %[2]s", place(digits+k), z(zCarry))
			p.op("VPADDQ %s, %[2]s, %[2]s", z(zCarry), acc)
			p.op("VPSUBQ %s, %[2]s, %[2]s", place(k), acc)
		} else {
			p.op("VPSUBQ %s, %[2]s, %[2]s", z(zCarry), acc)
			p.op("VPSUBQ %s, %[2]s, %[2]s", place(digits+k), acc)
		}
		p.op("VMOVDQU64 %s, %s", acc, place(half+k))
	})
	p.op("VPADDQ %s, %[2]s, %[2]s", place(half+digits), z(zOver))
	p.op("VMOVDQU64 %s, %s", z(zOver), place(half+digits))
}

// reduceColumns takes the columns at R9 back to 20 digits. Each body of
// the loop runs the instructions of picks, if any, beside the reduction:
// picking needs the load units, reducing the multipliers.
func (p *program) reduceColumns(label string, picks []string) {
	for j := range window {
		p.op("VMOVDQU64 %s, %s", at("R9", j*vector), rotated(0, j))
	}
	p.op("MOVQ R9, R13")
	p.op("MOVQ $%d, AX", bodiesInLoop)
	p.quotient(0)
	p.raw(label + ":")
	// Each step computes the quotient of the next.
	ahead := func(into *program, i int) func(int) {
		return func(j int) {
			if j == quotientAt {
				into.quotient(i + 1)
			}
		}
	}
	top := func(i int) string { return at("R13", (i+window)*vector) }
	body := &program{}
	for i := range stride {
		body.reduce(i, ahead(body, i))
		body.op("VMOVDQU64 %s, %s", top(i), rotated(i, 0))
	}
	p.merge(body.lines, picks)
	p.turnBack()
	p.op("ADDQ $%d, R13", stride*vector)
	p.op("DECQ AX")
	p.raw("\tJNZ " + label)
	for i := range stride - 1 {
		p.reduce(i, ahead(p, i))
		p.op("VMOVDQU64 %s, %s", top(i), rotated(i, 0))
	}
	p.reduceAndCarry(stride-1, nil)
}

// square: x = x^(2^n)/R^(2^n-1) modulo m, x staying in registers between the
// squarings.
func square(p *program) {
	p.function("square", "(x, m *number, k *vector, product *wide, n uint64)", 40)
	p.op("MOVQ x+0(FP), DI")
	p.op("MOVQ m+8(FP), CX")
	p.op("MOVQ k+16(FP), R8")
	p.op("MOVQ product+24(FP), R9")
	p.op("MOVQ n+32(FP), BX")
	p.squareLoop("square", nil, nil, nil)
	p.end()
}

// squareLoop squares BX times; before and behind, if set, add to the program
// around each reduction.
func (p *program) squareLoop(label string, picks []string, before, behind func()) {
	p.op("VMOVDQU64 (R8), %s", z(zK))
	p.setMask()
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", at("DI", j*vector), squared(j))
	}
	p.raw(label + "Next:")
	p.columns()
	if before != nil {
		before()
	}
	p.reduceColumns(label+"Reduce", picks)
	if behind != nil {
		behind()
	}
	p.op("DECQ BX")
	p.raw("\tJNZ " + label + "Next")
	for j := range digits {
		p.op("VMOVDQU64 %s, %s", squared(j), at("DI", j*vector))
	}
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

// pick reads the next entries/bodiesInLoop entries of a group, at R11, and keeps
// the wanted one in the zPick registers: a mask decides, not an address. (Of
// the instructions that could do this, a masked load into the register would
// make each load wait for the one before it.)
func pick() []string {
	p := &program{}
	const some = entries / bodiesInLoop
	for e := range some {
		mask := fmt.Sprintf("K%d", 1+e%7)
		p.op("VPCMPEQQ.BCST %s, %s, %s", at("R10", 8*e), z(zIndex), mask)
		for d := range groupSize {
			p.op("VPBLENDMQ %s, %[2]s, %[3]s, %[2]s", at("R11", (e*groupSize+d)*vector), z(zPick+d), mask)
		}
	}
	p.op("ADDQ $%d, R11", some*groupSize*vector)
	p.op("ADDQ $%d, R10", 8*some)
	return p.lines
}

// squareAndPick: five squarings as in square, and picked = table[index], the
// index each lane's own and secret.
func squareAndPick(p *program) {
	p.raw("")
	for e := range entries {
		p.raw(fmt.Sprintf("DATA entryNumbers<>+%d(SB)/8, $%d", 8*e, e))
	}
	p.raw(fmt.Sprintf("GLOBL entryNumbers<>(SB), RODATA|NOPTR, $%d", 8*entries))

	p.function("squareAndPick", "(x, m *number, k *vector, product *wide, picked *number, powers *table, index *[8]uint8)", 56)
	p.op("MOVQ x+0(FP), DI")
	p.op("MOVQ m+8(FP), CX")
	p.op("MOVQ k+16(FP), R8")
	p.op("MOVQ product+24(FP), R9")
	p.op("MOVQ picked+32(FP), R12")
	p.op("MOVQ powers+40(FP), R11")
	p.op("MOVQ index+48(FP), DX")
	p.op("MOVQ $%d, BX", windowBits)
	p.squareLoop("pick", pick(), func() {
		p.op("VPMOVZXBQ (DX), %s", z(zIndex))
		p.op("LEAQ entryNumbers<>(SB), R10")
		for d := range groupSize {
			p.zero(z(zPick + d))
		}
	}, func() {
		for d := range groupSize {
			p.op("VMOVDQU64 %s, %s", z(zPick+d), at("R12", d*vector))
		}
		p.op("ADDQ $%d, R12", groupSize*vector)
	})
	p.end()
}
