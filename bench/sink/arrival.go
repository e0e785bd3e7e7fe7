package sink

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Arrival is one accepted recipient as the record keeps it: a line of fields
// between tabs, in the order of this struct.
type Arrival struct {
	Time       time.Time
	Listener   string
	Connection uint64
	Secured    bool
	// From and To are the envelope.
	From, To string
	// ID is the value of Options.IDHeader.
	ID string
	// HeaderTo is the first address of the To header.
	HeaderTo string
	// Size in octets and Hash (XXH64) of the content.
	Size int
	Hash uint64
	// Notes are breaches: bare-cr, bare-lf, long-line, no-final-crlf,
	// undeclared-8bit, recipient-refused.
	Notes []string
	// File is the name in the maildir's new, if there is one.
	File string
}

const arrivalFields = 12

func appendArrival(dst []byte, a *Arrival) []byte {
	dst = strconv.AppendInt(dst, a.Time.UnixNano(), 10)
	dst = append(append(dst, '\t'), a.Listener...)
	dst = strconv.AppendUint(append(dst, '\t'), a.Connection, 10)
	dst = strconv.AppendBool(append(dst, '\t'), a.Secured)
	for _, s := range []string{a.From, a.To, a.ID, a.HeaderTo} {
		dst = append(dst, '\t')
		for i := range len(s) {
			if c := s[i]; c < ' ' || c == 0x7f {
				dst = append(dst, '?')
			} else {
				dst = append(dst, c)
			}
		}
	}
	dst = strconv.AppendInt(append(dst, '\t'), int64(a.Size), 10)
	dst = strconv.AppendUint(append(dst, '\t'), a.Hash, 16)
	dst = append(append(dst, '\t'), strings.Join(a.Notes, ",")...)
	dst = append(append(dst, '\t'), a.File...)
	return append(dst, '\n')
}

func parseArrival(line string) (a Arrival, err error) {
	f := strings.Split(line, "\t")
	if len(f) != arrivalFields {
		return a, fmt.Errorf("%d fields instead of %d", len(f), arrivalFields)
	}
	ns, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return a, err
	}
	a = Arrival{Time: time.Unix(0, ns), Listener: f[1], From: f[4], To: f[5], ID: f[6], HeaderTo: f[7], File: f[11]}
	if a.Connection, err = strconv.ParseUint(f[2], 10, 64); err != nil {
		return a, err
	}
	if a.Secured, err = strconv.ParseBool(f[3]); err != nil {
		return a, err
	}
	if a.Size, err = strconv.Atoi(f[8]); err != nil {
		return a, err
	}
	if a.Hash, err = strconv.ParseUint(f[9], 16, 64); err != nil {
		return a, err
	}
	if f[10] != "" {
		a.Notes = strings.Split(f[10], ",")
	}
	return a, nil
}

// ReadArrivals reads a record. It stops at the first error, which is given with
// its line.
func ReadArrivals(r io.Reader) iter.Seq2[Arrival, error] {
	return func(yield func(Arrival, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		n := 0
		for lines.Scan() {
			n++
			a, err := parseArrival(lines.Text())
			if err != nil {
				err = fmt.Errorf("record line %d: %w", n, err)
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Arrival{}, fmt.Errorf("record after line %d: %w", n, err))
		}
	}
}

// Summary is what a record says as a whole.
type Summary struct {
	// Arrivals is lines; Recipients is different envelope recipients.
	Arrivals, Recipients int
	// Repeated has, for each recipient that came more than once, how often.
	Repeated map[string]int
	// Changed are repeated recipients whose ID or content was not the same.
	Changed []string
	// Misdirected are recipients whose header To differs from the envelope.
	Misdirected []string
	// Notes counts breaches by name.
	Notes map[string]int
}

// Summarise reads a record to its end. It holds every recipient in memory.
func Summarise(r io.Reader) (*Summary, error) {
	type first struct {
		n    int
		id   string
		hash uint64
	}
	seen := map[string]*first{}
	s := &Summary{Repeated: map[string]int{}, Notes: map[string]int{}}
	for a, err := range ReadArrivals(r) {
		if err != nil {
			return nil, err
		}
		s.Arrivals++
		for _, n := range a.Notes {
			s.Notes[n]++
		}
		if a.HeaderTo != "" && !strings.EqualFold(a.HeaderTo, a.To) {
			s.Misdirected = append(s.Misdirected, a.To)
		}
		f := seen[a.To]
		if f == nil {
			seen[a.To] = &first{1, a.ID, a.Hash}
			continue
		}
		f.n++
		s.Repeated[a.To] = f.n
		if f.id != a.ID || f.hash != a.Hash {
			s.Changed = append(s.Changed, a.To)
		}
	}
	s.Recipients = len(seen)
	return s, nil
}
