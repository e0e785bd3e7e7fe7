//go:build amd64 && !purego

package rsa8

import "testing"

func BenchmarkKernels(b *testing.B) {
	needLanes(b)
	e := newEight()
	e.wipe() // maps the memory: masked loads from unmapped pages are very slow
	s := e.s
	r := &s.residues[0]
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"multiply", func() { multiply(&r.x, &r.x, &r.base, &r.m, &r.k) }},
		{"squareAndMultiply, a product", func() { squareAndMultiply(&s.residues, 0, 0) }},
		{"squareAndMultiply, a window", func() { squareAndMultiply(&s.residues, 0, windowBits) }},
		{"multiplyAdd", func() { multiplyAdd(&s.signature, &r.m, &s.h, &s.sq) }},
		{"multiplyWide", func() { multiplyWide(&s.checked, &s.checked, &s.back, &s.n, &s.nk, &s.sum) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				k.run()
			}
		})
	}
}
