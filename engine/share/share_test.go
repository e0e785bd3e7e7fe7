package share

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const most = 64

// party is a member of a test, and what it got.
type party struct {
	*Member
	priority, weight int
	got              int
	turns            int
}

func (s *Share[K]) party(name K, priority, weight int) *party {
	return &party{Member: s.Member(name, priority, weight), priority: priority, weight: weight}
}

// serve gives one turn of n units to one of them.
func serve[K comparable](s *Share[K], n int, among ...*party) *party {
	members := make([]*Member, len(among))
	for i, p := range among {
		members[i] = p.Member
	}
	t := s.Next(members)
	p := among[t.Index]
	s.Take(p.Member, n, t)
	p.got += n
	p.turns++
	return p
}

// TestSharesFollowWeights compares with the ideal queue, in which all are served
// at once by drops: whatever the sizes of turns, two that always want service
// never differ by more than one turn of each.
func TestSharesFollowWeights(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := New[int](most)
		var all []*party
		for i, w := range rapid.SliceOfN(rapid.IntRange(MinWeight, MaxWeight), 2, 20).Draw(t, "weights") {
			all = append(all, s.party(i, 10, w))
		}
		for range 300 {
			serve(s, rapid.IntRange(1, most).Draw(t, "turn"), all...)
			for i, a := range all {
				for _, b := range all[:i] {
					lag := math.Abs(float64(a.got)/float64(a.weight) - float64(b.got)/float64(b.weight))
					bound := most/float64(a.weight) + most/float64(b.weight)
					// Steps are whole numbers.
					if lag > bound*1.01+0.005*float64(a.got)/float64(a.weight) {
						t.Fatalf("weights %d and %d got %d and %d: they differ by %.2f, bound %.2f", a.weight, b.weight, a.got, b.got, lag, bound)
					}
				}
			}
		}
	})
}

// TestNobodyIsForgotten: between two turns of a member the others get no more
// than their weights' worth of its turn, and a turn each; or, if its priority is
// lower, so much more as that keeps less.
func TestNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := New[int](most)
		var all []*party
		priorities := map[int]int{}
		for i := range rapid.IntRange(2, 12).Draw(t, "members") {
			p := s.party(i, rapid.IntRange(1, 4).Draw(t, "priority"), rapid.IntRange(1, 50).Draw(t, "weight"))
			priorities[p.priority] += p.weight
			all = append(all, p)
		}
		since := make(map[*party]int)
		for range 2000 {
			n := rapid.IntRange(1, most).Draw(t, "turn")
			p := serve(s, n, all...)
			for _, o := range all {
				if o != p {
					since[o] += n
				}
			}
			since[p] = 0
			for _, o := range all {
				// Within its priority all others have one turn of o at most for
				// each of their weights, and one of their own each; its priority
				// has at least a sixteenth of the whole.
				level := float64(priorities[o.priority])/float64(o.weight)*most + float64(len(all)*most)
				if bound := 16*level + 16*most; float64(since[o]) > bound*1.01 {
					t.Fatalf("priority %d, weight %d: %d units went to others since its last turn, bound %.0f", o.priority, o.weight, since[o], bound)
				}
			}
		}
	})
}

func TestPrioritiesOvertakeAndKeepTheirPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		priorities []int
		want       []float64
	}{
		{"one", []int{10}, []float64{1}},
		{"two", []int{20, 10}, []float64{15. / 16, 1. / 16}},
		{"three", []int{30, 20, 10}, []float64{14. / 16, 1. / 16, 1. / 16}},
		{"nine", []int{9, 8, 7, 6, 5, 4, 3, 2, 1}, []float64{0.5, 1. / 16, 1. / 16, 1. / 16, 1. / 16, 1. / 16, 1. / 16, 1. / 16, 1. / 16}},
		{"eleven", []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, []float64{0.5, .05, .05, .05, .05, .05, .05, .05, .05, .05, .05}},
		{"order does not matter", []int{10, 30, 20}, []float64{1. / 16, 14. / 16, 1. / 16}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New[int](most)
			var all []*party
			for i, p := range c.priorities {
				all = append(all, s.party(i, p, DefaultWeight))
			}
			total := 0
			for i := range 20_000 {
				n := 1 + i*7%most
				serve(s, n, all...)
				total += n
			}
			for i, p := range all {
				if got := float64(p.got) / float64(total); math.Abs(got-c.want[i]) > 0.01 {
					t.Errorf("priority %d has %.3f of the whole, want %.3f", p.priority, got, c.want[i])
				}
			}
		})
	}
}

// TestWeightsWithinPriorities: each priority divides what it has by weight.
func TestWeightsWithinPriorities(t *testing.T) {
	t.Parallel()
	s := New[string](most)
	a, b := s.party("a", 2, 300), s.party("b", 2, 100)
	c, d := s.party("c", 1, 50), s.party("d", 1, 150)
	for range 64_000 {
		serve(s, 16, a, b, c, d)
	}
	for _, want := range []struct {
		p    *party
		part float64
	}{{a, 0.75 * 15 / 16}, {b, 0.25 * 15 / 16}, {c, 0.25 / 16}, {d, 0.75 / 16}} {
		if got := float64(want.p.got) / (64_000 * 16); math.Abs(got-want.part) > 0.002 {
			t.Errorf("priority %d, weight %d has %.4f, want %.4f", want.p.priority, want.p.weight, got, want.part)
		}
	}
}

// TestWhoJoinsLateDoesNotCatchUp: from its first turn on it has its share, and
// nothing for the time before.
func TestWhoJoinsLateDoesNotCatchUp(t *testing.T) {
	t.Parallel()
	for _, priority := range []int{5, 10, 20} {
		t.Run(fmt.Sprint("priority ", priority), func(t *testing.T) {
			s := New[string](most)
			early := s.party("early", 10, 100)
			for range 10_000 {
				serve(s, most, early)
			}
			late := s.party("late", priority, 100)
			before := early.got
			for range 1600 {
				serve(s, most, early, late)
			}
			got, want := float64(late.got)/float64(late.got+early.got-before), 0.5
			switch {
			case priority > 10:
				want = 15. / 16
			case priority < 10:
				want = 1. / 16
			}
			if math.Abs(got-want) > 0.01 {
				t.Errorf("who joined late has %.3f, want %.3f", got, want)
			}
		})
	}
}

// TestWhoWasAwayIsOwedLittle: one that cannot use its turns for a long time gets
// no more than the arrears when it can again.
func TestWhoWasAwayIsOwedLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := New[string](most)
		high := rapid.Bool().Draw(t, "higher priority")
		priority := 10
		if high {
			priority = 20
		}
		a := s.party("a", 10, rapid.IntRange(1, 1000).Draw(t, "weight"))
		b := s.party("b", priority, rapid.IntRange(1, 1000).Draw(t, "weight of the one away"))
		for range rapid.IntRange(0, 50).Draw(t, "together") {
			serve(s, most, a, b)
		}
		for range rapid.IntRange(0, 5000).Draw(t, "away") {
			serve(s, most, a)
		}
		first := 0 // turns of b until a has one again
		for serve(s, most, a, b) == b {
			first++
		}
		bound := Arrears + 3 + int(1.01*float64(b.weight)/float64(a.weight)) // steps are whole numbers
		if high {
			bound = (Arrears + 2) * 16
		}
		if first > bound {
			t.Fatalf("%d turns in a row for the one that was away, bound %d", first, bound)
		}
	})
}

// TestOneWithBriefGapsKeepsItsShare: one that is unable every other time does
// not lose to one that always is able.
func TestOneWithBriefGapsKeepsItsShare(t *testing.T) {
	t.Parallel()
	s := New[string](most)
	a, b := s.party("a", 10, 300), s.party("b", 10, 200)
	last := b
	for range 10_000 {
		if last == a {
			last = serve(s, most, b) // a is being read
		} else {
			last = serve(s, most, a, b)
		}
	}
	if a.turns < 4999 {
		t.Errorf("a had %d turns of the 5,000 that it was able to take", a.turns)
	}
}

func TestLeaving(t *testing.T) {
	t.Parallel()
	s := New[string](most)
	a := s.party("a", 10, 100)
	if s.Member("a", 10, 100) != a.Member {
		t.Error("the same name is another member")
	}
	for range 100 {
		serve(s, most, a)
	}
	s.Leave("nobody")
	s.Leave("a")
	if len(s.members) != 0 || len(s.levels) != 0 {
		t.Errorf("%d members and %d priorities are left", len(s.members), len(s.levels))
	}
	if b := s.Member("b", 3, 100); s.Member("a", 10, 100) == a.Member || b.mark > s.clock {
		t.Error("who left is still there")
	}
}

func TestAhead(t *testing.T) {
	t.Parallel()
	s := New[string](most)
	a, b, low := s.party("a", 10, 100), s.party("b", 10, 100), s.party("low", 1, 100)
	if s.Ahead(a.Member, b.Member) || s.Ahead(low.Member, a.Member) {
		t.Error("somebody is ahead before anything was taken")
	}
	for range Arrears + 1 {
		serve(s, most, a)
	}
	if !s.Ahead(a.Member, b.Member) || s.Ahead(b.Member, a.Member) {
		t.Error("five turns more are not seen")
	}
	if s.Ahead(a.Member, low.Member) {
		t.Error("a higher priority has to make room for a lower one")
	}
}

// TestLineIsFairAndKeepsOrder: each member's come out in the order they went in,
// those put in front before them, and nothing is lost.
func TestLineIsFairAndKeepsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := New[int](most)
		members := []*Member{s.Member(0, 1, 100), s.Member(1, 1, 200), s.Member(2, 3, 100)}
		q := NewLine[int, int](s)
		model := make(map[*Member][]int)
		next, length := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m := rapid.SampledFrom(members).Draw(t, "member")
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					next++
					q.Push(m, next)
					model[m] = append(model[m], next)
					length++
				}
			},
			"push front": func(t *rapid.T) {
				m := rapid.SampledFrom(members).Draw(t, "member")
				next++
				q.PushFront(m, next)
				model[m] = slices.Insert(model[m], 0, next)
				length++
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					first, who, some := q.First()
					v, m, turn, ok := q.Pop()
					if ok != (length > 0) || some != ok {
						t.Fatalf("pop: %v, first: %v, with %d in line", ok, some, length)
					}
					if !ok {
						return
					}
					if v != model[m][0] || first != model[who][0] {
						t.Fatalf("pop gave %d and first %d, want %d and %d", v, first, model[m][0], model[who][0])
					}
					model[m] = model[m][1:]
					length--
					s.Take(m, 1, turn)
				}
			},
			"": func(t *rapid.T) {
				if q.Len() != length {
					t.Fatalf("length %d, want %d", q.Len(), length)
				}
			},
		})
	})
}

// TestLateComerPassesALongLine: a thousand of one member before it cost it no
// more than a turn.
func TestLateComerPassesALongLine(t *testing.T) {
	t.Parallel()
	s := New[string](1)
	a, b := s.Member("a", 1, 100), s.Member("b", 1, 100)
	q := NewLine[string, int](s)
	for i := range 1000 {
		q.Push(a, i)
	}
	q.Push(b, 1000)
	for n := 1; ; n++ {
		v, m, turn, _ := q.Pop()
		s.Take(m, 1, turn)
		if v == 1000 {
			if n > 2 {
				t.Errorf("it came out as number %d", n)
			}
			return
		}
	}
}

// TestTurnsCostNoAllocation: they are on the way of every batch.
func TestTurnsCostNoAllocation(t *testing.T) {
	s := New[int](most)
	among := []*Member{s.Member(1, 1, 100), s.Member(2, 1, 200)}
	q := NewLine[int, int](s)
	if n := testing.AllocsPerRun(1000, func() {
		turn := s.Next(among)
		s.Take(among[turn.Index], most, turn)
		q.Push(among[0], 1)
		q.Push(among[1], 2)
		q.Pop()
		q.Pop()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, n := range []int{1, 2, 20, 200} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			s := New[int](most)
			var among []*Member
			for i := range n {
				among = append(among, s.Member(i, i%3, 100))
			}
			for b.Loop() {
				t := s.Next(among)
				s.Take(among[t.Index], most, t)
			}
		})
	}
}
