package config

// Change is a setting whose value is another one than it was.
type Change struct {
	Key string
	// Was and Is are as Effective shows them; empty: it is in one of the two only.
	Was, Is string
}

// Compare lists what differs between two lists that Effective gave, in the order
// of the new one; what is only in the old one last.
func Compare(old, new []Effective) (changes []Change) {
	was := make(map[string]string)
	for _, e := range old {
		was[e.Key] = e.Value
	}
	is := make(map[string]bool)
	for _, e := range new {
		is[e.Key] = true
		if before, ok := was[e.Key]; !ok || before != e.Value {
			changes = append(changes, Change{e.Key, before, e.Value})
		}
	}
	for _, e := range old {
		if !is[e.Key] {
			changes = append(changes, Change{e.Key, e.Value, ""})
		}
	}
	return changes
}

// Merge is the list that is in force when of a new one only those settings are
// taken that live chooses by their key.
func Merge(old, new []Effective, live func(key string) bool) (merged []Effective) {
	was := make(map[string]Effective)
	for _, e := range old {
		was[e.Key] = e
	}
	for _, e := range new {
		before, had := was[e.Key]
		delete(was, e.Key)
		switch {
		case live(e.Key):
			merged = append(merged, e)
		case had:
			merged = append(merged, before)
		}
	}
	for _, e := range old {
		if _, left := was[e.Key]; left && !live(e.Key) {
			merged = append(merged, e)
		}
	}
	return merged
}
