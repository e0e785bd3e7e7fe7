package config

// Change is a setting whose value is another one than it was.
type Change struct {
	Key string
	// Was and Is are as Effective shows them; empty: it is in one of the two only.
	Was, Is string
}

// Compare lists what differs between two configurations, in the order of the
// reference; those that are only in the old one last.
func Compare(old, new *Config) (changes []Change) {
	was := make(map[string]string)
	order := old.Effective()
	for _, e := range order {
		was[e.Key] = e.Value
	}
	is := make(map[string]bool)
	for _, e := range new.Effective() {
		is[e.Key] = true
		if before, ok := was[e.Key]; !ok || before != e.Value {
			changes = append(changes, Change{e.Key, before, e.Value})
		}
	}
	for _, e := range order {
		if !is[e.Key] {
			changes = append(changes, Change{e.Key, e.Value, ""})
		}
	}
	return changes
}
