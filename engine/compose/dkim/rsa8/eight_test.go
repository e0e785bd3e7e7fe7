//go:build amd64 && !purego

package rsa8

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"testing"
	"unsafe"
)

func needLanes(t testing.TB) {
	t.Helper()
	if path != Eight {
		t.Skip("this process has no lanes: ", path)
	}
}

// edgeDigests: none and all bits, and single ones.
func edgeDigests() [][sha256.Size]byte {
	list := make([][sha256.Size]byte, 4)
	for i := range list[1] {
		list[1][i] = 0xff
	}
	list[2][0] = 0x80
	list[3][31] = 1
	return list
}

// agree signs all jobs in the lanes and one by one, and compares.
func agree(t *testing.T, jobs []*Job) {
	t.Helper()
	if err := NewSigner().Sign(context.Background(), jobs); err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs {
		want, err := rsa.SignPKCS1v15(nil, j.Key.private, crypto.SHA256, j.Digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(j.Signature, want) {
			t.Fatalf("job %d, digest %x: not what crypto/rsa says", i, j.Digest)
		}
	}
}

func TestBitIdenticalWithCryptoRSA(t *testing.T) {
	needLanes(t)
	t.Parallel()
	before := Faults()
	random := random(1)
	var jobs []*Job
	for _, k := range testKeys() {
		if k.Path() != Eight {
			t.Fatalf("a key of 2048 bits goes by %s", k.Path())
		}
		for _, d := range append(edgeDigests(), [sha256.Size]byte{}) {
			if d == ([sha256.Size]byte{}) {
				random.Read(d[:])
			}
			jobs = append(jobs, &Job{Key: k, Digest: d, Signature: make([]byte, k.Size())})
		}
	}
	// Lanes with one another's keys, and a last batch that is not full.
	mathrand.New(random).Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	agree(t, jobs[:len(jobs)-len(jobs)%lanes-3])
	if n := Faults() - before; n != 0 {
		t.Errorf("%d signatures failed their check", n)
	}
}

// The proof: 100,000 digests and 500 keys. crypto/rsa takes most of the
// two or three minutes.
func TestBitIdenticalAtLength(t *testing.T) {
	needLanes(t)
	if os.Getenv("PENSTOCK_PROOF") == "" {
		t.Skip("set PENSTOCK_PROOF=1: takes minutes")
	}
	t.Parallel()
	before := Faults()
	const keysWanted, digests = 500, 100_000
	keys := testKeys()
	primes := randomPrimes(33) // 528 pairs
pairs:
	for i, p := range primes {
		for _, q := range primes[:i] {
			if len(keys) == keysWanted {
				break pairs
			}
			keys = append(keys, keyOf(p, q))
		}
	}
	source := random(2)
	pick := mathrand.New(source)
	for n := 0; n < digests; {
		var jobs []*Job
		for range 1000 {
			j := &Job{Key: keys[(n*7+pick.IntN(3))%len(keys)], Signature: make([]byte, modulusBytes)}
			source.Read(j.Digest[:])
			jobs = append(jobs, j)
			n++
		}
		agree(t, jobs)
	}
	if n := Faults() - before; n != 0 {
		t.Errorf("%d signatures failed their check", n)
	}
	t.Logf("%d keys, %d digests", len(keys), digests)
}

// Messages that no digest gives: multiples of a prime, and the ends of the
// range.
func TestRaiseAtTheEdges(t *testing.T) {
	needLanes(t)
	t.Parallel()
	e := newEight()
	for _, k := range testKeys()[:8] {
		p, q, n := k.private.Primes[0], k.private.Primes[1], k.private.N
		minusOne := new(big.Int).Sub(n, big.NewInt(1))
		messages := [lanes]*big.Int{
			new(big.Int), big.NewInt(1), minusOne, p, q,
			new(big.Int).Mul(p, new(big.Int).Sub(q, big.NewInt(1))),
			power2(1040), new(big.Int).Sub(power2(1040), big.NewInt(1)),
		}
		var keys [lanes]*prepared
		for l, m := range messages {
			keys[l] = k.lanes
			var text [modulusBytes]byte
			setDigits(e.s.lane[:], m.FillBytes(text[:]))
			setLane(e.s.message[:], l, e.s.lane[:])
		}
		e.raise(&keys)
		if failed := e.check(&keys); failed != ([lanes]bool{}) {
			t.Errorf("check failed: %v", failed)
		}
		for l, m := range messages {
			var text [modulusBytes]byte
			getBytes(text[:], e.s.signature[:], l)
			if want := new(big.Int).Exp(m, k.private.D, n); want.Cmp(new(big.Int).SetBytes(text[:])) != 0 {
				t.Errorf("lane %d: %x to the power of d came out wrong", l, m)
			}
		}
	}
}

// inTable: a byte of the scratch memory belongs to a table of powers.
func inTable(where uintptr) bool {
	var s scratch
	for i := range s.residues {
		table := uintptr(unsafe.Pointer(&s.residues[i].powers)) - uintptr(unsafe.Pointer(&s))
		if where >= table && where < table+unsafe.Sizeof(s.residues[i].powers) {
			return true
		}
	}
	return false
}

// A flipped bit anywhere in the scratch memory, at any step, either does not
// matter or is caught; the other lanes are not concerned.
func TestFaultsAreCaught(t *testing.T) {
	needLanes(t)
	t.Parallel()
	random := mathrand.New(random(3))
	keys := testKeys()
	var jobs []*Job
	var want [lanes][]byte
	for l := range lanes {
		k := keys[l%2]
		j := &Job{Key: k, Signature: make([]byte, k.Size()), Digest: [32]byte{byte(l)}}
		jobs = append(jobs, j)
		want[l], _ = rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, j.Digest[:])
	}
	e := newEight()
	steps := 0
	e.disturb = func(*scratch) { steps++ }
	e.sign(jobs)

	caught := 0
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		at, step := random.IntN(steps), 0
		e.disturb = func(s *scratch) {
			if step == at {
				memory := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
				// The tables are most of the memory and mostly idle: aim beside
				// them most of the time.
				where := random.IntN(len(memory))
				if random.IntN(4) > 0 {
					for inTable(uintptr(where)) {
						where = random.IntN(len(memory))
					}
				}
				memory[where] ^= 1 << random.IntN(8)
			}
			step++
		}
		for _, j := range jobs {
			clear(j.Signature)
		}
		failed := e.sign(jobs)
		bad := 0
		for l, j := range jobs {
			switch {
			case failed[l]:
				bad++
				if !bytes.Equal(j.Signature, make([]byte, modulusBytes)) {
					t.Fatal("a faulty signature came out")
				}
			case !bytes.Equal(j.Signature, want[l]):
				t.Fatalf("a fault at step %d of %d was not caught", at, steps)
			}
		}
		if bad > 1 {
			t.Fatalf("one bit made %d lanes fail", bad)
		}
		caught += bad
	}
	if caught < rounds/20 {
		t.Errorf("only %d of %d faults mattered: does the test still aim?", caught, rounds)
	}
	t.Logf("%d steps; %d of %d faults mattered, all were caught", steps, caught, rounds)
}

// A fault is counted, and crypto/rsa makes the signature.
func TestAfterAFaultCryptoRSASigns(t *testing.T) {
	needLanes(t)
	k := testKeys()[0]
	s := NewSigner()
	s.eight = newEight()
	s.eight.disturb = func(s *scratch) { s.residues[0].m[3][2] ^= 1 << 17 }
	var jobs []*Job
	for i := range lanes {
		jobs = append(jobs, &Job{Key: k, Digest: [32]byte{byte(i)}, Signature: make([]byte, k.Size())})
	}
	before := Faults()
	if err := s.Sign(context.Background(), jobs); err != nil {
		t.Fatal(err)
	}
	if n := Faults() - before; n != 1 {
		t.Errorf("%d faults counted, want 1", n)
	}
	for l, j := range jobs {
		if err := rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, j.Digest[:], j.Signature); err != nil {
			t.Errorf("lane %d: %v", l, err)
		}
	}
}

func TestScratchIsAlignedAndWiped(t *testing.T) {
	needLanes(t)
	t.Parallel()
	for range 20 {
		if e := newEight(); uintptr(unsafe.Pointer(e.s))%64 != 0 {
			t.Fatal("scratch is not aligned")
		}
	}
	e := newEight()
	k := testKeys()[0]
	e.sign([]*Job{{Key: k, Signature: make([]byte, k.Size())}})
	for i, b := range e.memory {
		if b != 0 {
			t.Fatalf("byte %d is left behind", i)
		}
	}
}

func TestSigningAllocatesNothing(t *testing.T) {
	needLanes(t)
	k := testKeys()[0]
	s := NewSigner()
	var jobs []*Job
	for range 2 * lanes {
		jobs = append(jobs, &Job{Key: k, Signature: make([]byte, k.Size())})
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(5, func() {
		if err := s.Sign(ctx, jobs); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 16 signatures", n)
	}
}
