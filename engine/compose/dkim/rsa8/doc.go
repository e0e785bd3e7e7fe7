// Package rsa8 makes RSA signatures (PKCS#1 v1.5 with SHA-256, RFC 8017 8.2),
// eight at a time where the processor has AVX-512 IFMA and the key has 2,048
// bits, and by crypto/rsa, one at a time, everywhere else. Both come out the
// same, bit for bit: such a signature has only one form.
//
// A [Signer] signs on the caller's goroutine; a [Batcher] gathers the jobs of
// many goroutines. [Key] says by [Key.Path] which way it goes. The environment
// variable PENSTOCK_RSA=generic or the build tag purego switches the eight lanes
// off; without the instructions (GODEBUG=cpu.avx512ifma=off hides them) they are
// never entered.
//
// The rest of this page is for whoever reviews the arithmetic.
//
// # Representation
//
// A number modulo a prime has 20 digits of 52 bits, least significant first,
// each digit of the eight lanes side by side in one vector register of 64-bit
// elements (type number; wide has 40). The lanes know nothing of one another:
// each has its own key and message. VPMADD52LUQ and VPMADD52HUQ multiply the
// low 52 bits of two elements and add the low or high 52 bits of the product to
// a third, so a sum of many halves collects above bit 52 of its element until it
// is carried on.
//
// Multiplication is Montgomery's with R = 2^1040: multiply(a, b) is a*b/R modulo
// m. A step takes the lowest digit z of the accumulator, forms q = z*k modulo
// 2^52 with k = -1/m modulo 2^52, adds q*m, which makes the digit zero modulo
// 2^52, and drops it; its upper part carries on, plus one unless its low 52 bits
// were zero before. Twenty steps divide by R.
//
// # Algorithm
//
// For a message M (the padded digest, below n), primes p and q of 1,024 bits
// each, and d modulo p-1 and q-1:
//
//	base     = high*R² + low*R modulo p       where M = high*R + low
//	powers   = base^0 .. base^31              in Montgomery form
//	x        = for each of 205 windows of five bits: x^32 * powers[window]
//	sp, sq   = x modulo p (kept in Montgomery form), x modulo q (0..q-1)
//	h        = (sp - sq)/q modulo p           (0..p-1)
//	s        = sq + q*h
//	check    : s < n and s^65537 modulo n = M
//
// The check is apart from the rest: it reads s, n and M only, in 40 digits with
// R² = 2^2080 in the place of R, by 18 products (16 squarings, s once more, and
// one to leave Montgomery form).
//
// # Bounds
//
// Let p be a modulus: 2^1023 < p < 2^1024, 20 digits.
//
//   - An accumulator element gets, in multiply, at most 20*2 halves of a*b and
//     20*2 of q*m, each below 2^52, and carries below 2^12: below 2^59. In square
//     (Karatsuba's, in halves of ten digits) a column of L, H or S gets at most
//     10 halves, a digit, all that doubled, and one half more: below 2^57. One of
//     the square's own adds and subtracts at most six such and then gets 20*2
//     halves of q*m: of magnitude below 2^60. It may be negative, so carries are
//     signed; the number as a whole is not, nor is its top digit once carried.
//     In multiplyWide 40*4 halves: below 2^60. Nothing reaches 2^64.
//   - multiply(a, b) < a*b/R + p, since q's digits make at most R-1 times p. It
//     is not reduced further. Let every operand be below 2^1027 in one factor
//     and in the other: a*b/R < 2^1014, so the result is below p + 2^1014 <
//     2^1025 and fits 20 digits with 15 bits to spare, and its top digit carries
//     nothing on. So repeated squaring and multiplying stays below 2^1025
//     without any comparison.
//   - base: low < R and r2 = R² mod p < p give multiply < p + p; the same for
//     high and r3; their sum is below 4p < 2^1026. It is carried before use.
//   - Leaving Montgomery form, multiply(x, 1) < x/R + q < q + 1: one subtraction,
//     done or not by a mask, makes it 0..q-1.
//   - sp - sq: x + 2p - multiply(sq, r2) with both below p + 2^1014, hence
//     between 0 and 4p: no digit is below -2^53, and carry takes signed digits.
//   - h = multiply(that, 1/q mod p) < 2^1026*2^1024/R + p < p + 2^1011: one
//     subtraction by mask.
//   - s = sq + q*h <= (q-1) + q*(p-1) = n - 1. No carry leaves the 40th digit.
//   - In the check: operands below 2n < 2^2049, so s^2/R² + n < n + 2^2018, and
//     one subtraction at the end.
//
// # Constant time
//
// On secrets (the primes, exponents, and everything computed from them) there is
// no branch, no memory address and no instruction whose time is known to depend
// on its operands: only vector multiply-add, add, shift, mask, compare into a
// mask, load and store, and in Go, on the way in and out, shifts and 64-bit
// additions with carry. Which lane has which key is no secret, nor is how
// many jobs there are.
//
//   - An exponent's window chooses its entry of the table of powers by mask: all
//     32 entries are read, in the same order, always. All 205 windows are taken,
//     zero or not.
//   - Subtractions of the modulus are done by mask.
//   - Keys are prepared without math/big, apart from its FillBytes, which copies;
//     powers of two modulo a prime come from a fixed number of doublings. What
//     crypto/rsa does when it validates a key is its own.
//   - The message is not blinded: time that does not depend on it needs no
//     blinding, and DKIM's messages are public anyway.
//   - The check compares public values, and may branch on them. It would branch
//     on a faulty signature's digits too, by which time the lane is lost anyway.
//
// A timing test in the manner of dudect compares classes of exponents, messages,
// table entries and keys (PENSTOCK_TIMING=1). It cannot see power or
// electromagnetic channels, and neither are those defended against.
//
// # Faults
//
// A signature that is right modulo one prime and wrong modulo the other gives
// the key away. So none leaves before its check; a lane that fails is signed
// again by crypto/rsa (which checks, too) and counted by [Faults]. A test flips
// single bits anywhere in the scratch memory, between any two steps.
//
// # Memory
//
// Secrets are in: the *rsa.PrivateKey that the caller gave; its prepared form
// (struct prepared), both as long as the Key lives; and a Signer's scratch
// memory, one block at a multiple of 64 bytes, wiped after each batch together
// with the vector and mask registers. What cannot be wiped: the key's big.Ints
// and the copies that crypto/rsa keeps; copies that the runtime makes of a
// goroutine's stack when it grows, and of the registers when a signal interrupts
// a kernel (they lie on the signal stack until the next one); pages written to
// swap or a core file. Digits on their way into the lanes pass through the
// scratch memory; a few words pass through the stack while a key is prepared.
//
// # Concurrency
//
// Key does not change once made. A Signer belongs to one goroutine at a time. A
// Batcher serves any number. A kernel runs for about a microsecond, so the
// scheduler and the collector are never kept waiting.
//
// # Bugs
//
// Only keys of two primes of 1,024 bits each with the public exponent 65,537
// take the lanes. There is no fast path for RSA-3072 and RSA-4096, nor for
// processors without IFMA.
package rsa8
