package engine

import (
	"fmt"
	"strings"
	"testing"
)

// TestCampaignsShareByWeightAndPriority: at one lane each gets recipients
// read as its weight says, and of a lower priority a sixteenth.
func TestCampaignsShareByWeightAndPriority(t *testing.T) {
	for _, c := range []struct {
		name, one, two string
		// least and most of the second that may go while all of the first do.
		least, most float64
	}{
		{"weight", "weight: 300", "weight: 100", 0.30, 0.37},
		{"weight the other way", "weight: 100", "weight: 200", 0.95, 1},
		{"priority", "priority: 20", "weight: 1000", 0.05, 0.09},
		{"batches of unequal size", "max_in_doubt: 128", "max_in_doubt: 3", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "limits: {default: {connections: 1}}\n")
			// Nothing is read before there is a connection: both are there then.
			w.serve("rules: [{at: connect, delay: 200ms}]", "a.test")
			w.open()
			const each = 3000
			one, two := make([]string, each), make([]string, each)
			for i := range each {
				one[i], two[i] = fmt.Sprintf("one%d@a.test", i), fmt.Sprintf("two%d@a.test", i)
			}
			a, b := w.load(w.campaign("one", c.one+"\n", one...)), w.load(w.campaign("two", c.two+"\n", two...))
			ra, err := w.engine.Start(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			rb, err := w.engine.Start(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			w.finish(ra, rb)
			count := map[bool]int{}
			for _, to := range w.mail.sequence() {
				first := strings.HasPrefix(to, "one")
				if count[first]++; count[true] == each {
					break
				}
			}
			if part := float64(count[false]) / each; part < c.least || part > c.most {
				t.Errorf("%.3f of the second went while all of the first did, want %.2f to %.2f", part, c.least, c.most)
			}
			w.has(ra, fmt.Sprint(each, " delivered"))
			w.has(rb, fmt.Sprint(each, " delivered"))
		})
	}
}
