package main

import "fmt"

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
	return product{k / 2, k / 2, k%2 == 1}
}

// squared is where the digits of a number are while it is squared again and
// again: where the reduction leaves them.
func squared(j int) string { return rotated(stride, j) }

func (p *program) multiplyAccumulate(x product, acc string) {
	half := "L"
	if x.high {
		half = "H"
	}
	p.op("VPMADD52%sUQ %s, %s, %s", half, squared(x.i), squared(x.j), acc)
}

// columns computes the 40 columns of a square, to R9. Four at a time with two
// accumulators each are eight independent chains.
func (p *program) columns() {
	const together, chains = 4, 2
	// Beside the digits, k and the mask, ten registers are free.
	free := []int{zIndex, zQ, zQ2, zLoad, zCarry, zPick, zPick + 1, zPick + 2}
	for first := 0; first < 2*digits; first += together {
		var todo [together][]product
		most := 0
		acc := func(c, n int) string { return z(free[c*chains+n]) }
		for c := range together {
			todo[c] = column(first + c)
			most = max(most, len(todo[c]))
			for n := range max(min(len(todo[c]), chains), 1) {
				p.zero(acc(c, n))
			}
		}
		for n := range most {
			for c := range together {
				if n < len(todo[c]) {
					p.multiplyAccumulate(todo[c][n], acc(c, n%chains))
				}
			}
		}
		for c := range together {
			if len(todo[c]) > 1 {
				p.op("VPADDQ %s, %[2]s, %[2]s", acc(c, 1), acc(c, 0))
			}
			if len(todo[c]) > 0 {
				p.op("VPADDQ %[1]s, %[1]s, %[1]s", acc(c, 0))
			}
			p.multiplyAccumulate(diagonal(first+c), acc(c, 0))
			p.op("VMOVDQU64 %s, %s", acc(c, 0), at("R9", (first+c)*vector))
		}
	}
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
