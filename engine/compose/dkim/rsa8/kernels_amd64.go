//go:build amd64 && !purego

package rsa8

// The kernels, in assembly. Each works on eight lanes that know nothing of one
// another, takes digits below 2^52 (what stands above those bits is ignored)
// and leaves digits below 2^52. None branches on, or addresses memory by,
// anything but its loop counters. The bounds of the numbers themselves are in
// the package's documentation.
//
//go:generate go run ./gen kernels_amd64.s

// multiply: dst = a*b/R modulo m, with k = -1/m modulo 2^52. dst may be a, b
// or both.
//
//go:noescape
func multiply(dst, a, b, m *number, k *vector)

// square: x = x^(2^n)/R^(2^n-1) modulo m, that is, n squarings; n is at least
// 1. product is scratch.
//
//go:noescape
func square(x, m *number, k *vector, product *wide, n uint64)

// squareAndPick: x as in square with n = 5, and picked is the entry index of
// powers, the index below 32 and each lane's own. It reads the whole table,
// whatever the index.
//
//go:noescape
func squareAndPick(x, m *number, k *vector, product *wide, picked *number, powers *table, index *[lanes]uint8)

// multiplyAdd: dst = a*b + c.
//
//go:noescape
func multiplyAdd(dst *wide, a, b, c *number)

// multiplyWide: dst = a*b/R² modulo m, k as in multiply. dst may be a, b or
// both; sum is scratch and must be neither.
//
//go:noescape
func multiplyWide(dst, a, b, m *wide, k *vector, sum *wide)

// wipeRegisters clears the vector and mask registers.
func wipeRegisters()
