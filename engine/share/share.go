package share

import "sync"

// Bounds of what a member may ask for.
const (
	// MinWeight to MaxWeight, DefaultWeight when nothing was said.
	MinWeight     = 1
	MaxWeight     = 1000
	DefaultWeight = 100
	// Arrears is how many turns a member is owed at most.
	Arrears = 4
)

const (
	// lowerPart: each priority below the highest keeps one in so many.
	lowerPart = 16
	// unit is the mark of one unit taken with weight MaxWeight: fine enough that
	// dividing by a weight loses no more than 0.2 %, coarse enough that a mark
	// lasts for 7x10^13 units at the least weight.
	unit = 1 << 8
)

// Share is one thing that members take turns at. K names them.
type Share[K comparable] struct {
	most uint64

	mu      sync.Mutex
	members map[K]*Member // guarded by mu
	levels  []*level      // guarded by mu
	// clock is where the last turn began, among the levels; guarded by mu.
	clock uint64
}

// Member is one that takes turns. Its fields belong to its share.
type Member struct {
	level *level
	step  uint64 // what the mark moves by for one unit
	mark  uint64
}

// level is all members of one priority.
type level struct {
	priority int
	mark     uint64
	clock    uint64 // where the last turn of one of its members began
	members  int
	seen     bool // by the call of Next that is going on
}

// New makes a share of which a turn takes at most so many units.
func New[K comparable](most int) *Share[K] {
	return &Share[K]{most: uint64(most), members: make(map[K]*Member)}
}

// Member is who takes turns by that name; the same one until Leave. A new one
// begins at the share's time: what went before is not made up for.
func (s *Share[K]) Member(name K, priority, weight int) *Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[name]
	if m == nil {
		l := s.level(priority)
		l.members++
		weight = min(max(weight, MinWeight), MaxWeight)
		m = &Member{level: l, step: uint64(unit * MaxWeight / weight), mark: l.clock}
		s.members[name] = m
	}
	return m
}

// Leave forgets a member. One that is not there is no mistake.
func (s *Share[K]) Leave(name K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[name]
	if m == nil {
		return
	}
	delete(s.members, name)
	if m.level.members--; m.level.members > 0 {
		return
	}
	for i, l := range s.levels {
		if l == m.level {
			s.levels = append(s.levels[:i], s.levels[i+1:]...)
			return
		}
	}
}

// Members is how many there are.
func (s *Share[K]) Members() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members)
}

// level of a priority, made if need be. REQUIRES: mu held.
func (s *Share[K]) level(priority int) *level {
	for _, l := range s.levels {
		if l.priority == priority {
			return l
		}
	}
	l := &level{priority: priority, mark: s.clock}
	s.levels = append(s.levels, l)
	return l
}

// Turn is whose turn it is, and what a unit costs its priority.
type Turn struct {
	// Index of the member among those that were offered.
	Index int
	cost  uint64
}

// Alone is the turn of one that nobody contends with.
var Alone = Turn{cost: unit}

// Next is whose turn it is among these, of which there is at least one. Nothing
// changes hands before Take.
func (s *Share[K]) Next(among []*Member) Turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	top, lower, next := s.present(among)
	t := Turn{Index: -1, cost: levelCost(next == top, lower)}
	for i, m := range among {
		m.level.seen = false
		if m.level != next {
			continue
		}
		m.mark = lift(m.mark, next.clock, Arrears*s.most*m.step)
		if t.Index < 0 || m.mark < among[t.Index].mark {
			t.Index = i
		}
	}
	return t
}

// present looks at the levels of these members: which is the highest, how many
// are lower, and whose turn it is. The levels stay seen. REQUIRES: mu held.
func (s *Share[K]) present(among []*Member) (top *level, lower int, next *level) {
	levels := 0
	for _, m := range among {
		l := m.level
		if l.seen {
			continue
		}
		l.seen = true
		levels++
		if top == nil || l.priority > top.priority {
			top = l
		}
		l.mark = lift(l.mark, s.clock, Arrears*s.most*unit)
		if next == nil || l.mark < next.mark || l.mark == next.mark && l.priority > next.priority {
			next = l
		}
	}
	return top, levels - 1, next
}

// levelCost is what one unit moves a level's mark by: the less its part of the
// whole, the more.
func levelCost(top bool, lower int) uint64 {
	parts := max(lowerPart, 2*lower) // each lower level has one of these
	if !top {
		return uint64(unit * parts)
	}
	return uint64(unit * parts / (parts - lower))
}

// lift keeps a mark from lagging behind the clock by more than arrears.
func lift(mark, clock, arrears uint64) uint64 {
	if clock > arrears {
		return max(mark, clock-arrears)
	}
	return mark
}

// Take notes that m took n units in its turn. Others may have had theirs since
// Next.
func (s *Share[K]) Take(m *Member, n int, t Turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := m.level
	s.clock = max(s.clock, l.mark)
	l.clock = max(l.clock, m.mark)
	l.mark += uint64(n) * t.cost
	m.mark += uint64(n) * m.step
}

// Ahead reports whether a has had more than its share by more than Arrears
// turns, compared with b.
func (s *Share[K]) Ahead(a, b *Member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	slack := Arrears * s.most
	if a.level != b.level {
		return a.level.priority < b.level.priority && a.level.mark > b.level.mark+slack*unit
	}
	return a.mark > b.mark+slack*max(a.step, b.step)
}
