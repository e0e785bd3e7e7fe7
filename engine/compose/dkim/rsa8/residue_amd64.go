//go:build amd64 && !purego

package rsa8

// Halves and quarters of a number: what the kernels multiply in.
const (
	halfDigits    = primeDigits / 2
	quarterDigits = halfDigits / 2
)

// residue is a power in the making, modulo one prime a lane, with all that the
// kernels need for it. They know the fields by name. It is a multiple of 64 bytes
// long, so that two stand side by side.
type residue struct {
	m number // the prime
	k vector // -1/m modulo 2^52

	// What folding takes the ten lowest columns times: 2^-520 modulo m. sums are
	// its first and second, and third and fourth, five digits added, and longer is
	// 1 where such a sum reached 2^260, which is then taken off.
	inverse number
	sums    [2][quarterDigits]vector
	longer  [2]vector

	x, picked number

	// What the phases of a kernel leave to one another.
	columns     wide
	folded      [halfDigits]vector // the lowest ten columns, carried
	foldedSum   [quarterDigits + 1]vector
	foldedCarry vector
	firstSum    [halfDigits]vector // the halves of x added, and of picked
	secondSum   [halfDigits]vector

	// The kernels use what stands above all the time: see gen's middle.
	r2, r3, base number // R² and R³ modulo m; the base
	powers       table  // of the base, in Montgomery form
	windows      [windows][lanes]uint8
	_            [(vectorBytes - windows*lanes%vectorBytes) % vectorBytes]byte
}

const vectorBytes = 8 * lanes

// setPrime puts one lane's prime into its place.
func (r *residue) setPrime(lane int, p *prime) {
	setLane(r.m[:], lane, p.m[:])
	setLane(r.r2[:], lane, p.r2[:])
	setLane(r.r3[:], lane, p.r3[:])
	r.k[lane] = p.k
	for i, w := range p.windows {
		r.windows[i][lane] = w
	}
}

// setInverse prepares folding, once m and k are set in all lanes.
func (r *residue) setInverse(one *number) {
	r.inverse = number{}
	r.inverse[halfDigits] = one[0]
	multiply(&r.inverse, &r.inverse, one, &r.m, &r.k) // 2^520/R
	for i := range r.sums {
		digits := r.inverse[halfDigits*i:]
		var over vector
		for j := range quarterDigits {
			for l := range lanes {
				v := digits[j][l] + digits[quarterDigits+j][l] + over[l]
				r.sums[i][j][l] = v & digitMask
				over[l] = v >> digitBits
			}
		}
		r.longer[i] = over
	}
}

// begin makes the first two powers of a message, in Montgomery form, and what
// the others are made of. A message is high*R + low; times R that is
// the base.
func (r *residue) begin(message *wide, one *number) {
	low, high := (*number)(message[:primeDigits]), (*number)(message[primeDigits:])
	multiply(&r.base, high, &r.r3, &r.m, &r.k)
	multiply(&r.x, low, &r.r2, &r.m, &r.k)
	for j := range r.base {
		for l := range lanes {
			r.base[j][l] += r.x[j][l]
		}
	}
	carry(&r.base)
	multiply(&r.x, one, &r.r2, &r.m, &r.k)
	r.powers.set(0, &r.x)
	r.powers.set(1, &r.base)
	r.x = r.base
}
