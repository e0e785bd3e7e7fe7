//go:build amd64 && !purego

package rsa8

import (
	"crypto/sha256"
	"runtime"
	"unsafe"
)

// eight makes eight signatures at a time. It belongs to one goroutine.
type eight struct {
	// memory holds s at an address that is a multiple of 64: a vector that
	// straddles two cache lines costs two accesses.
	memory []byte
	s      *scratch
	// disturb, if set, is called between steps and may change the scratch
	// memory: the tests' way to prove that a fault is caught.
	disturb func(*scratch)
}

// scratch is everything that is secret while eight signatures are made. It is
// wiped after each batch.
type scratch struct {
	residues [2]residue // modulo the first prime and the second
	one      number

	message  wide   // the padded digest
	sq       number // the signature modulo q
	qInverse number
	h        number

	signature wide
	n, back   wide
	nk        vector
	checked   wide
	sum       wide

	lane [modulusDigits]uint64 // one lane's digits on their way in
	text [modulusBytes]byte    // one lane's bytes on their way in and out
}

func newEight() *eight {
	const alignment = 64
	size := int(unsafe.Sizeof(scratch{}))
	e := &eight{memory: make([]byte, size+alignment)}
	// scratch holds no pointers, and memory keeps it alive: the collector
	// neither moves it nor looks into it.
	start := uintptr(unsafe.Pointer(unsafe.SliceData(e.memory)))
	offset := -start & (alignment - 1)
	e.s = (*scratch)(unsafe.Pointer(&e.memory[offset]))
	return e
}

// sign signs one to eight jobs, whose keys are prepared, and reports for which
// the check failed; their signatures are left as they were.
func (e *eight) sign(jobs []*Job) (failed [lanes]bool) {
	s := e.s
	defer e.wipe()
	// Lanes without a job repeat the first one: all take the same time.
	var keys [lanes]*prepared
	for l := range lanes {
		j := jobs[0]
		if l < len(jobs) {
			j = jobs[l]
		}
		keys[l] = j.Key.lanes
		pad(&s.lane, &j.Digest)
		setLane(s.message[:], l, s.lane[:])
	}
	e.raise(&keys)
	failed = e.check(&keys)
	for l, j := range jobs {
		if !failed[l] {
			getBytes(s.text[:], s.signature[:], l)
			copy(j.Signature, s.text[:])
		}
	}
	return failed
}

// raise raises the messages, below n, to the power of the private exponents:
// signature is message^d modulo n.
func (e *eight) raise(keys *[lanes]*prepared) {
	s := e.s
	p, q := &s.residues[0], &s.residues[1]
	for l, key := range keys {
		p.setPrime(l, &key.p)
		q.setPrime(l, &key.q)
		setLane(s.qInverse[:], l, key.qInverse[:])
	}
	e.power()

	// The signature modulo q, as a number in 0..q-1.
	multiply(&s.sq, &q.x, &s.one, &q.m, &q.k)
	subtractIfAtLeast(s.sq[:], q.m[:])
	e.step()

	// Modulo p it stays in Montgomery form; then h = (sp - sq)/q modulo p, and
	// the signature is sq + q*h (Garner's form of the Chinese remainder theorem).
	multiply(&s.h, &s.sq, &p.r2, &p.m, &p.k)
	e.step()
	for j := range s.h {
		for l := range lanes {
			s.h[j][l] = p.x[j][l] + 2*p.m[j][l] - s.h[j][l]
		}
	}
	carry(&s.h)
	e.step()
	multiply(&s.h, &s.h, &s.qInverse, &p.m, &p.k)
	subtractIfAtLeast(s.h[:], p.m[:])
	e.step()
	multiplyAdd(&s.signature, &q.m, &s.h, &s.sq)
	e.step()
}

// setOne sets one to 1.
func (s *scratch) setOne() {
	clear(s.one[:])
	for l := range lanes {
		s.one[0][l] = 1
	}
}

// power raises the messages to the lanes' exponents modulo their primes, both
// primes at once: each x is the result, in Montgomery form.
func (e *eight) power() {
	s := e.s
	s.setOne()
	e.step()
	for i := range s.residues {
		r := &s.residues[i]
		r.setInverse(&s.one)
		e.step()
		r.begin(&s.message, &s.one)
	}
	e.step()
	for i := 2; i < entries; i++ {
		for j := range s.residues {
			s.residues[j].picked = s.residues[j].base
		}
		squareAndMultiply(&s.residues, 0, 0)
		for j := range s.residues {
			s.residues[j].powers.set(i, &s.residues[j].x)
		}
	}
	for i := range s.residues {
		s.residues[i].powers.get(0, &s.residues[i].x)
	}
	e.step()

	// x is 1 in Montgomery form. The first five squarings leave it so; treating
	// the first window like the others costs half a percent and needs no kernel
	// of its own.
	for i := range uint64(windows) {
		squareAndMultiply(&s.residues, i, windowBits)
		e.step()
	}
}

// check raises the signatures to the power of e modulo n, eight at a time,
// and reports the lanes where that is not the message. It looks at nothing but
// the signature, n and the message.
func (e *eight) check(keys *[lanes]*prepared) (failed [lanes]bool) {
	s := e.s
	for l, key := range keys {
		setLane(s.n[:], l, key.n[:])
		setLane(s.back[:], l, key.back[:])
		s.nk[l] = key.nk
	}
	e.step()
	// A signature of n or more would be as good to the power of e, and no
	// verifier would take it.
	s.checked = s.signature
	subtractIfAtLeast(s.checked[:], s.n[:])
	for l := range lanes {
		for j := range s.checked {
			failed[l] = failed[l] || s.checked[j][l] != s.signature[j][l]
		}
	}
	// Each product divides by W = 2^2080. After 16 squarings and one product
	// that is W^(2^16) altogether, and back is W^(2^16+1) modulo n, of which the
	// last product takes off one.
	for range 16 {
		multiplyWide(&s.checked, &s.checked, &s.checked, &s.n, &s.nk, &s.sum)
	}
	multiplyWide(&s.checked, &s.checked, &s.signature, &s.n, &s.nk, &s.sum)
	multiplyWide(&s.checked, &s.checked, &s.back, &s.n, &s.nk, &s.sum)
	subtractIfAtLeast(s.checked[:], s.n[:])
	for l := range lanes {
		for j := range s.checked {
			failed[l] = failed[l] || s.checked[j][l] != s.message[j][l]
		}
	}
	return failed
}

func (e *eight) step() {
	if e.disturb != nil {
		e.disturb(e.s)
	}
}

// wipe clears the scratch memory and the registers.
func (e *eight) wipe() {
	clear(e.memory)
	wipeRegisters()
	runtime.KeepAlive(e)
}

// digestPrefix is the ASN.1 that stands before a SHA-256 digest (RFC 8017 9.2,
// note 1).
var digestPrefix = [...]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// padding is the padded digest of 32 zero bytes, in digits (RFC 8017 9.2).
var padding = func() (digits [modulusDigits]uint64) {
	var text [modulusBytes]byte
	const prefixed = modulusBytes - sha256.Size - len(digestPrefix)
	text[1] = 1
	for i := 2; i < prefixed-1; i++ {
		text[i] = 0xff
	}
	copy(text[prefixed:], digestPrefix[:])
	setDigits(digits[:], text[:])
	return digits
}()

// pad is EMSA-PKCS1-v1_5: all but the last 32 bytes are always the same.
func pad(digits *[modulusDigits]uint64, digest *[sha256.Size]byte) {
	var low [sha256.Size*8/digitBits + 1]uint64
	setDigits(low[:], digest[:])
	*digits = padding
	for i, d := range low {
		digits[i] |= d
	}
}
