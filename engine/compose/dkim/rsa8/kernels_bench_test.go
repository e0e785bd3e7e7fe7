//go:build amd64 && !purego

package rsa8

import "testing"

func BenchmarkKernels(b *testing.B) {
	needLanes(b)
	e := newEight()
	e.wipe() // maps the memory: masked loads from unmapped pages are very slow
	s := e.s
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"multiply", func() { multiply(&s.x, &s.x, &s.base, &s.m, &s.k) }},
		{"square five times", func() { square(&s.x, &s.m, &s.k, &s.product, windowBits) }},
		{"squareAndPick", func() {
			squareAndPick(&s.x, &s.m, &s.k, &s.product, &s.picked, &s.powers, &s.windows[0])
		}},
		{"multiplyAdd", func() { multiplyAdd(&s.signature, &s.q, &s.h, &s.sq) }},
		{"multiplyWide", func() { multiplyWide(&s.checked, &s.checked, &s.back, &s.n, &s.nk, &s.sum) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				k.run()
			}
		})
	}
}
