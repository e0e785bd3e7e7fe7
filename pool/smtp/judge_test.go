package smtp

import (
	"strings"
	"testing"
)

// TestJudgeSeesWrongFates: the judge of the properties is no rubber stamp.
func TestJudgeSeesWrongFates(t *testing.T) {
	t.Parallel()
	a := &Message{From: "fa@x", To: "ta@x", Content: [][]byte{[]byte("a\r\n")}}
	b := &Message{From: "fb@x", To: "tb@x", Content: [][]byte{[]byte("b\r\n")}}
	right := taken{from: a.From, to: []string{a.To}, body: "a\r\n"}
	fate := func(f Fate) []Outcome { return []Outcome{{Fate: f, Reply: Reply{Code: 550}}} }
	lost := fate(Uncertain)
	for _, c := range []struct {
		name  string
		took  []taken
		fates []Outcome
		quirk quirk
		want  string // "" for no complaint
	}{
		{name: "delivered and taken", took: []taken{right}, fates: fate(Delivered)},
		{name: "uncertain and taken", took: []taken{right}, fates: fate(Uncertain)},
		{name: "uncertain and not taken", fates: fate(Uncertain)},
		{name: "delivered, not taken", fates: fate(Delivered), want: "taken 0 times"},
		{name: "delivered, taken twice", took: []taken{right, right}, fates: fate(Delivered), want: "taken 2 times"},
		{name: "uncertain, taken twice", took: []taken{right, right}, fates: fate(Uncertain), want: "taken 2 times"},
		{name: "refused, taken", took: []taken{right}, fates: fate(Refused), want: "taken 1 times"},
		{name: "not attempted, taken", took: []taken{right}, fates: fate(NotAttempted), want: "taken 1 times"},
		{name: "two fates", fates: []Outcome{{}, {}}, want: "2 fates"},
		{name: "no fate", want: "0 fates"},
		{name: "zero fate", fates: fate(FateUnset), want: "zero fate"},
		{name: "refused by nothing", fates: []Outcome{{Fate: Refused}}, want: "refused by 0"},
		{name: "wrong recipient", took: []taken{{from: a.From, to: []string{b.To}, body: "a\r\n"}}, fates: lost, want: "taken under"},
		{name: "another recipient too", took: []taken{{from: a.From, to: []string{b.To, a.To}, body: "a\r\n"}}, fates: lost, want: "taken under"},
		{name: "wrong sender", took: []taken{{from: b.From, to: []string{a.To}, body: "a\r\n"}}, fates: lost, want: "taken under"},
		{name: "wrong sender, RSET refused", quirk: quirkRefusesReset, took: []taken{{from: b.From, to: []string{a.To}, body: "a\r\n"}}, fates: lost},
		{name: "wrong sender, delivered", quirk: quirkRefusesReset, took: []taken{{from: b.From, to: []string{a.To}, body: "a\r\n"}}, fates: fate(Delivered), want: "taken 0 times"},
		{name: "mangled", took: []taken{{from: a.From, to: []string{a.To}, body: "aa\r\n"}}, fates: lost, want: "nobody's"},
		{name: "lone dot", took: []taken{{from: a.From}}, fates: fate(Refused)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &model{took: c.took, quirk: c.quirk}
			got := strings.Join(judge(m, []*Message{a, b}, map[*Message][]Outcome{a: c.fates, b: lost}), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
