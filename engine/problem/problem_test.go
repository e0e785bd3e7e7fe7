package problem

import (
	"errors"
	"testing"
)

func TestErrorReadsLikeACompiler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		problem Problem
		want    string
	}{
		{Problem{File: "a.yaml", Line: 3, Column: 5, Field: "from", Message: "is missing"}, "a.yaml:3:5: from: is missing"},
		{Problem{File: "a.yaml", Line: 3, Message: "odd", Warning: true}, "a.yaml:3: warning: odd"},
		{Problem{File: "a.yaml", Column: 9, Message: "no line, no column"}, "a.yaml: no line, no column"},
		{Problem{Message: "bare"}, "bare"},
	} {
		if got := c.problem.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestWarningsAloneAreNoError(t *testing.T) {
	t.Parallel()
	var l List
	l.Warn("b", 1, 0, "", "w")
	if err := l.Err(); err != nil {
		t.Fatalf("warnings alone gave %v", err)
	}
	l.Add("a", 2, 0, "f", "wrong: %d", 7)
	err := l.Err()
	var got List
	if !errors.As(err, &got) || len(got) != 2 || got[0].File != "a" {
		t.Fatalf("got %v, want both, sorted by place", err)
	}
	if want := "a:2: f: wrong: 7\nb:1: warning: w"; err.Error() != want {
		t.Errorf("got %q, want %q", err.Error(), want)
	}
}
