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
// Both primes go through it in turns, phase by phase: a phase of one fills the
// multipliers while the carries and stores of the other's last one come to their
// end. A product or square of x has three phases. Let X be 2^520, the root of R:
//
//	columns  T = x*y                       in Karatsuba's manner, halves of 10 digits
//	fold     U = floor(T/X) + (T mod X)*i  where i = 1/X modulo p, a constant
//	reduce   x = U/X modulo p              ten of Montgomery's steps
//
// U is T/X modulo p, for i is 1/X there. Ten of
// Montgomery's steps cost as many multiply-adds as a fold without Karatsuba, but a
// fold knows its factor (T mod X) at once, hence can halve it: 300 instead of 400.
// A square takes 1,030 multiply-adds in all instead of 1,220, a product 1,300
// instead of 1,600. Besides, on a Zen 5, additions cost nothing as long as there
// are no more of them than multiply-adds: they run on other units.
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
//     20*2 of q*m, each below 2^52, and carries below 2^12: below 2^59. In
//     multiplyWide 40*4 halves: below 2^60.
//   - A column of a product or square is made of columns of L, H and S
//     (Karatsuba's), at most four of them, each of at most 20 halves; sums one
//     bit longer than ten digits add at most three digits more. A fold adds or
//     subtracts at most five columns of at most 10 halves, two digits and two
//     ones; then come 10*2 halves of q*m and carries below 2^12. All that is
//     less than 160*2^52 in magnitude: below 2^60. It may be negative, so
//     carries are signed; the number as a whole is not, nor is its top digit
//     once carried. Nothing reaches 2^64.
//   - multiply(a, b) < a*b/R + p, since q's digits make at most R-1 times p. It
//     is not reduced further.
//   - i = multiply(X, 1) < X/R + p, hence i <= p.
//   - Let both factors of a product be below 2^1027: T < 2^2054 fits 40 digits,
//     U < 2^1534 + X*p < 2^1545 fits 30, and x < U/X + p < T/R + i + p <
//     2^1014 + 2p < 2^1026 fits 20 with 14 bits to spare, so its top digit
//     carries nothing on. Repeated squaring and multiplying stays there without
//     any comparison.
//   - base: low < R and r2 = R² mod p < p give multiply < p + p; the same for
//     high and r3; their sum is below 4p < 2^1026. It is carried before use.
//   - Leaving Montgomery form, multiply(x, 1) < x/R + q < q + 1: one subtraction,
//     done or not by a mask, makes it 0..q-1.
//   - sp - sq: x + 2p - multiply(sq, r2) with x below 2p + 2^1014 and the other
//     below p + 2^1008, hence between 0 and 5p: no digit is below -2^53, and
//     carry takes signed digits.
//   - h = multiply(that, 1/q mod p) < 2^1027*2^1024/R + p = p + 2^1011: one
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
//   - Subtractions of the modulus are done by mask, and so is what is added where
//     a sum of halves is one bit longer.
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
// Batcher serves any number. A kernel runs for a microsecond or two, so the
// scheduler and the collector are never kept waiting.
//
// # What was measured
//
// On a Zen 5 at 4.09 GHz, where two VPMADD52 begin in a cycle. Earlier, one prime
// went after the other, and all twenty steps were Montgomery's. In turns with
// crypto/rsa and with one another, eight times, a signature by the clock (the
// lower tenth of 1,200 batches) took 56.6 us then and 53.9 now, a 12.95th and a
// 13.6th of crypto/rsa's in the median; no run of the one overlapped the other's.
//
//   - Folding without the primes taking turns made squares 7 % slower: its 100
//     multiply-adds less did not make up for waiting at the ends of its phases.
//   - Squares and products in kernels of their own, 15 KB each, were faster when
//     measured apart (1.42 us for five squares of both primes and 0.34 for a
//     product, where multiply-adds alone take 1.27 and 0.32) but 2.51 in turns
//     instead of 1.76: together they do not fit the first level cache for
//     instructions, and a signature took half as long again. With the fold and the
//     reduction in common (21 KB) it is 1.89.
//   - Instructions whose addresses need four bytes cost products a tenth.
//   - Reading the table costs 1.5 to 2.5 % of a square, and as much when all of
//     it is in the first level cache: a smaller one (windows of four bits) would
//     gain less than its 51 more products cost.
//   - Distances between the primes' memory other than a multiple of 4,096 bytes
//     change nothing, nor does another place for the next quotient.
//
// # Bugs
//
// Only keys of two primes of 1,024 bits each with the public exponent 65,537
// take the lanes. There is no fast path for RSA-3072 and RSA-4096, nor for
// processors without IFMA.
package rsa8
