package trace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMaskHidesSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind                Kind
		command, text, want string
	}{
		{Client, "AUTH", "AUTH PLAIN AGFkYQBzZWNyZXQ=", "AUTH PLAIN ****"},
		{Client, "AUTH", "auth plain AGFkYQBzZWNyZXQ= x", "auth plain ****"},
		{Client, "", "AUTH PLAIN AGFkYQBzZWNyZXQ=", "AUTH PLAIN ****"},
		{Client, "AUTH", "AUTH LOGIN", "AUTH LOGIN"},
		{Client, "AUTH", "c2VjcmV0", "****"},
		{Server, "AUTH", "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2U+", "334 ****"},
		{Server, "EHLO", "250-AUTH PLAIN LOGIN", "250-AUTH PLAIN LOGIN"},
		{Client, "MAIL", "MAIL FROM:<AUTH@a.test>", "MAIL FROM:<AUTH@a.test>"},
		{Client, "EHLO", "EHLO authority.test", "EHLO authority.test"},
	} {
		if got := mask(c.kind, c.command, c.text); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestFilterMatches(t *testing.T) {
	t.Parallel()
	line := About{Site: "google", Host: "mx1", Source: "a", Campaign: "spring", Recipient: "Ada@x.test"}
	opening := About{Site: "google", Host: "mx1", Source: "a"}
	for _, c := range []struct {
		f             Filter
		line, opening bool
	}{
		{Filter{}, true, true},
		{Filter{Sites: []string{"yahoo", "google"}}, true, true},
		{Filter{Sites: []string{"yahoo"}}, false, false},
		{Filter{Sites: []string{"google"}, Hosts: []string{"mx2"}}, false, false},
		{Filter{Sources: []string{"a"}}, true, true},
		{Filter{Campaigns: []string{"spring"}}, true, false},
		{Filter{Recipients: []string{"ada@X.test"}}, true, false},
		{Filter{Recipients: []string{"bob@x.test"}}, false, false},
	} {
		if c.f.matches(&line) != c.line || c.f.matches(&opening) != c.opening {
			t.Errorf("%+v: %v and %v", c.f, c.f.matches(&line), c.f.matches(&opening))
		}
	}
	for _, f := range []Filter{{Content: MaxContent + 1}, {Content: -1}, {Sites: make([]string, MaxChoices+1)}} {
		if _, err := new(Hub).Open(f); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d octets, %d sites: %v", f.Content, len(f.Sites), err)
		}
	}
}

func TestHubIsSwitchedByItsTracers(t *testing.T) {
	t.Parallel()
	var switched []bool
	h := &Hub{Switch: func(on bool) { switched = append(switched, on) }}
	var all []*Tracer
	for range MaxTracers {
		tr, err := h.Open(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tr)
	}
	if _, err := h.Open(Filter{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	for _, tr := range all {
		tr.Close()
		tr.Close()
	}
	if !slices.Equal(switched, []bool{true, false}) {
		t.Errorf("switched %v", switched)
	}
	last, err := h.Open(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if _, err := last.Take(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the hub was closed: %v", err)
	}
	if _, err := h.Open(Filter{}); !errors.Is(err, ErrClosed) {
		t.Errorf("opened at a closed hub: %v", err)
	}
}

// TestWhatIsNotTakenIsDroppedAndCounted, and who never takes loses the tracer.
func TestWhatIsNotTakenIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := new(Hub)
		tr, err := h.Open(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		give := func(n int, text string) {
			for range n {
				h.Wanted(&About{}, func(t *Tracer) { t.Give(Line{At: time.Now(), Text: text}) })
			}
		}
		give(bufferLines+7, "x")
		lines, err := tr.Take(t.Context())
		if err != nil || len(lines) != bufferLines || lines[0].Dropped != 0 {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		give(1, "y")
		if lines, _ = tr.Take(t.Context()); len(lines) != 1 || lines[0].Dropped != 7 {
			t.Errorf("%+v", lines)
		}
		give(100, strings.Repeat("z", bufferBytes/10))
		if lines, _ = tr.Take(t.Context()); len(lines) != 10 {
			t.Errorf("%d large lines fit, want 10", len(lines))
		}
		give(bufferLines+1, "x")
		time.Sleep(Patience - time.Second)
		if lines, err = tr.Take(t.Context()); err != nil || len(lines) == 0 {
			t.Errorf("lost too early: %d lines, %v", len(lines), err)
		}
		give(bufferLines+1, "x")
		time.Sleep(Patience)
		give(1, "x")
		if _, err := tr.Take(t.Context()); !errors.Is(err, ErrSlow) {
			t.Errorf("not lost: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		other, err := h.Open(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := other.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nothing to take: %v", err)
		}
	})
}
