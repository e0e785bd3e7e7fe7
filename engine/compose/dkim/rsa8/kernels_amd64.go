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

// squareAndMultiply: for both residues, x = x^(2^n)*y/R^(2^n) modulo m, where n
// is the number of squarings. If n is 5, y is the entry of powers that this window
// says, each lane its own; the whole table is read, whatever the window. If n is 0,
// y is picked, of which nothing is left afterwards. Other n are not allowed.
//
//go:noescape
func squareAndMultiply(r *[2]residue, window, squarings uint64)

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
