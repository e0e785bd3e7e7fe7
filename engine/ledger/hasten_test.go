package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// deferAll reads whoever is due or fresh at d, at most n, and defers them until
// due, one second after the other.
func deferAll(t *testing.T, l *Ledger, d *Domain, now, due time.Time, n int) (seqs []Seq) {
	t.Helper()
	var b Batch
	read := func() error { return d.ReadDue(&b, now, n) }
	if d.Fresh() > 0 {
		read = func() error { return d.ReadFresh(&b, n) }
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	for i, r := range b.Recipients {
		l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Deferred, Attempted: true, At: now, Due: due.Add(time.Duration(i) * time.Second), Code: 450})
		seqs = append(seqs, r.Seq)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// TestHastenedAreDueAtOnceAndAfterARestart: nobody's entry is rewritten, attempts
// stay, and what is deferred afterwards is due at its own time, one after the
// other, though its second lies before those that were hastened.
func TestHastenedAreDueAtOnceAndAfterARestart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	now := day
	open := func() (*Ledger, *Domain) {
		l, err := Open("data", Options{fs: fs, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Campaign("c")
		if err != nil {
			load(t, l, "c", people(8, 1))
			if c, err = l.Campaign("c"); err != nil {
				t.Fatal(err)
			}
		}
		resume(t, c, now, Retry)
		return l, c.domain("d0.example")
	}
	l, d := open()
	deferAll(t, l, d, now, now.Add(4*time.Hour), 8)
	if n := d.DueCount(now); n != 0 {
		t.Fatalf("%d are due before", n)
	}
	if n := d.Hasten(now); n != 8 {
		t.Fatalf("%d were hastened, want 8", n)
	}
	if n := d.Hasten(now); n != 0 {
		t.Errorf("%d were hastened twice", n)
	}
	if at, ok := d.NextDue(); !ok || at.After(now) || d.DueCount(now) != 8 {
		t.Errorf("next due %v, %d due now", at, d.DueCount(now))
	}
	// Three are tried and deferred again; five still wait at the restart.
	again := deferAll(t, l, d, now, now.Add(time.Minute), 3)
	if fmt.Sprint(again) != "[1 2 3]" {
		t.Errorf("tried in the order %v", again)
	}
	verify(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	now = now.Add(time.Second)
	l, d = open()
	defer l.Close()
	if due, waiting := d.DueCount(now), d.Waiting(); due != 5 || waiting != 8 {
		t.Fatalf("after the restart %d of %d are due, want 5 of 8", due, waiting)
	}
	var b Batch
	if err := d.ReadDue(&b, now, 10); err != nil {
		t.Fatal(err)
	}
	if len(b.Recipients) != 5 || b.Recipients[0].Attempts != 1 || b.Recipients[0].Seq != 4 {
		t.Fatalf("read %+v", b.Recipients)
	}
	leaseNow(t, l, &b)
	for _, r := range b.Recipients {
		l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Deferred, Attempted: true, At: now, Due: now.Add(2 * time.Hour), Code: 450})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Each of the first three keeps its own second.
	for i, want := range []int{0, 1, 2, 3, 3} {
		if n := d.DueCount(day.Add(time.Minute + time.Duration(i-1)*time.Second)); n != want {
			t.Errorf("%d s before a minute is over %d are due, want %d", 1-i, n, want)
		}
	}
	if n := d.DueCount(now.Add(2 * time.Hour)); n != 8 {
		t.Errorf("%d are due in the end", n)
	}
	verify(t, l)
}

// TestHastenWithNobodyWaiting changes nothing.
func TestHastenWithNobodyWaiting(t *testing.T) {
	t.Parallel()
	l, err := Open("data", Options{fs: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := load(t, l, "c", people(4, 1))
	resume(t, c, day, Retry)
	if n := c.domain("d0.example").Hasten(day); n != 0 {
		t.Errorf("hastened %d", n)
	}
	verify(t, l)
}
