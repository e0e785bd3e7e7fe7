package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFifoIsASlice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var f fifo[int]
		var model []int
		next := 1
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					f.push(next)
					model = append(model, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					v, ok := f.pop()
					if ok != (len(model) > 0) {
						t.Fatalf("pop: %v with %d elements", ok, len(model))
					}
					if !ok {
						if v != 0 {
							t.Fatalf("pop of nothing gave %d", v)
						}
						return
					}
					if v != model[0] {
						t.Fatalf("pop: %d, want %d", v, model[0])
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if f.len() != len(model) {
					t.Fatalf("len %d, want %d", f.len(), len(model))
				}
				if got := slices.Collect(f.all()); !slices.Equal(got, model) {
					t.Fatalf("all: %v, want %v", got, model)
				}
				if len(model) > 0 && f.front() != model[0] {
					t.Fatalf("front %d, want %d", f.front(), model[0])
				}
				for range f.all() {
					break
				}
			},
		})
	})
}

func TestFifoKeepsItsMemoryAndLetsGoOfElements(t *testing.T) {
	var f fifo[*int]
	for range 8 {
		f.push(new(int))
	}
	if n := testing.AllocsPerRun(100, func() {
		for range 8 {
			v, _ := f.pop()
			f.push(v)
		}
	}); n > 0 {
		t.Errorf("%v allocations while it does not grow", n)
	}
	for range 8 {
		f.pop()
	}
	for i, v := range f.ring {
		if v != nil {
			t.Errorf("place %d still holds its element", i)
		}
	}
}
