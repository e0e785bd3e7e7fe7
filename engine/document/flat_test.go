package document

import (
	"slices"
	"testing"
)

func TestFlatIsEveryScalarByItsPath(t *testing.T) {
	t.Parallel()
	d := Parse("c.yaml", []byte("id: 1e3 # as written\nretry: {first: 5m}\nrecipients: [a.csv, \"b\"]\nempty:\nlong: |\n  two\n  lines\n"))
	want := []Value{{"id", "1e3"}, {"retry.first", "5m"}, {"recipients[1]", "a.csv"}, {"recipients[2]", "b"}, {"long", "two\nlines\n"}}
	if got := d.Flat(); !slices.Equal(got, want) || d.Problems.Err() != nil {
		t.Errorf("got %q, %v", got, d.Problems)
	}
	json := Parse("c.json", []byte(`{"id": "1e3", "retry": {"first": "5m"}, "recipients": ["a.csv", "b"], "long": "two\nlines\n"}`))
	if got := json.Flat(); !slices.Equal(got, want) {
		t.Errorf("the same in JSON: %q", got)
	}
	if got := Parse("c.yaml", nil).Flat(); len(got) != 0 {
		t.Errorf("nothing: %q", got)
	}
}
