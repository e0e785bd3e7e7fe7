package campaign

type hash128 [2]uint64

// hashTable is a set of hashes: open addressing with linear probing. A Go map of
// the same takes twice the memory. The hash of all zeros marks a free place; an
// entry with that hash has its lowest bit set instead, which costs one bit of
// one hash.
type hashTable struct {
	places []hash128
	used   int
}

// place is where h is, or where it would go. REQUIRES: a free place.
func (t *hashTable) place(h hash128) *hash128 {
	mask := uint64(len(t.places) - 1)
	for i := h[0] & mask; ; i = (i + 1) & mask {
		if p := &t.places[i]; *p == h || *p == (hash128{}) {
			return p
		}
	}
}

func (t *hashTable) has(h hash128) bool {
	return len(t.places) > 0 && *t.place(nonZero(h)) != (hash128{})
}

// add reports whether h is new.
func (t *hashTable) add(h hash128) bool {
	if 4*(t.used+1) > 3*len(t.places) {
		t.grow()
	}
	p := t.place(nonZero(h))
	if *p != (hash128{}) {
		return false
	}
	*p = nonZero(h)
	t.used++
	return true
}

func (t *hashTable) grow() {
	before := t.places
	t.places = make([]hash128, max(64, 2*len(before)))
	for _, h := range before {
		if h != (hash128{}) {
			*t.place(h) = h
		}
	}
}

func nonZero(h hash128) hash128 {
	if h == (hash128{}) {
		h[1] = 1
	}
	return h
}
