package main

import (
	"bytes"
	"fmt"
)

// program is assembly in the making.
type program struct {
	lines []string
}

func (p *program) raw(line string) { p.lines = append(p.lines, line) }

// op adds an instruction; its operands stand in the assembler's order, the
// destination last.
func (p *program) op(format string, args ...any) {
	p.lines = append(p.lines, "\t"+fmt.Sprintf(format, args...))
}

// function opens a function; frame and arguments in bytes.
func (p *program) function(name, signature string, arguments int) {
	p.raw("")
	p.raw("// func " + name + signature)
	p.raw(fmt.Sprintf("TEXT ·%s(SB), NOSPLIT, $0-%d", name, arguments))
}

func (p *program) end() {
	p.op("VZEROUPPER")
	p.op("RET")
}

func (p *program) bytes() []byte {
	var b bytes.Buffer
	for _, l := range p.lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// merge adds two streams of instructions that do not depend on one another,
// each in its order, spread evenly: what loads runs beside what multiplies.
func (p *program) merge(a, b []string) {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		// Take from the stream that is behind in proportion.
		if j >= len(b) || i < len(a) && i*len(b) <= j*len(a) {
			p.lines = append(p.lines, a[i])
			i++
		} else {
			p.lines = append(p.lines, b[j])
			j++
		}
	}
}

// z is the name of a vector register.
func z(n int) string { return fmt.Sprintf("Z%d", n) }
