package campaign

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzCSV holds the scanner against encoding/csv: as long as that finds
// records, ours are the same; where it stops, ours go on, and every octet of
// the file is in a record or a reject, in order.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\nc,d\n", "a,\"b\nc\"\r\nd,e", "a\"b\n\"c", "\"a\"\"b\",\r\n\r\n\"\"", "\"a\r", "a\r", "\r\n\n\r", "\"x\"y\nz\n", "\"\r\r\n\""} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, slow bool) {
		if len(in) > 10_000 {
			return
		}
		var source io.Reader = bytes.NewReader(in)
		if slow {
			source = iotest.OneByteReader(source)
		}
		var w window
		w.reset(source)
		ours := csvRows{w: &w, comma: ','}
		oracle := csv.NewReader(bytes.NewReader(in))
		oracle.FieldsPerRecord = -1
		oracle.ReuseRecord = true

		agree := true
		lines := 1
		for {
			line, reason, detail, ok := ours.next()
			if line < lines {
				t.Fatalf("%q: record in line %d behind line %d", in, line, lines)
			}
			lines = line
			if agree {
				want, err := oracle.Read()
				switch {
				case errors.Is(err, io.EOF):
					if ok || reason != "" {
						t.Fatalf("%q: oracle has ended, we have %q %s", in, ours.fields, reason)
					}
				case err != nil:
					if ok {
						t.Fatalf("%q: oracle says %v, we have %q", in, err, ours.fields)
					}
					agree = false
				case !ok:
					t.Fatalf("%q: oracle has %q, we say %s %s", in, want, reason, detail)
				default:
					same(t, in, ours.fields, want)
					if oracleLine, _ := oracle.FieldPos(0); oracleLine != line {
						t.Fatalf("%q: oracle is in line %d, we in %d", in, oracleLine, line)
					}
				}
			}
			if !ok && reason == "" {
				break
			}
			if !ok && (reason != Malformed && reason != TooLong || detail == "") {
				t.Fatalf("%q: reason %q, detail %q", in, reason, detail)
			}
		}
		if w.fault() != nil || len(w.rest()) != 0 {
			t.Fatalf("%q: %q left, %v", in, w.rest(), w.fault())
		}
		if want := 1 + bytes.Count(in, newline); w.line != want {
			t.Fatalf("%q: ended in line %d, want %d", in, w.line, want)
		}
	})
}

func same(t *testing.T, in []byte, got [][]byte, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q: got %q, want %q", in, got, want)
	}
	for i := range got {
		if string(got[i]) != want[i] {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzJSON holds the row parser against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":"x\u00e9\n","c":[1,{"d":null}]}`, `{"a":-0.1e+5}`, `{"a":"\ud83d\ude00"}`, `{"a":1}}`, ` { "a" : true } `, `{"a":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !utf8.Valid(in) || len(in) > 10_000 {
			return
		}
		var j jsonRow
		fault := j.parse(in)
		var want map[string]json.RawMessage
		err := json.Unmarshal(in, &want)
		if fault.reason != "" {
			if fault.detail == "" {
				t.Fatalf("%q: refused without a word", in)
			}
			// We are stricter in three things only.
			if err == nil && want != nil && fault.reason == Malformed && !bytes.Contains(in, []byte(`\u`)) && !bytes.Contains(in, []byte("[[[[")) && !bytes.Contains(in, []byte(`":{"`)) {
				t.Fatalf("%q: refused (%s), encoding/json takes it", in, fault.detail)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: taken, encoding/json says %v", in, err)
		}
		seen := map[string]member{}
		for _, m := range j.members {
			seen[string(m.key)] = m
		}
		if len(seen) != len(want) {
			t.Fatalf("%q: %d keys, want %d", in, len(seen), len(want))
		}
		for key, raw := range want {
			m, ok := seen[key]
			if !ok {
				t.Fatalf("%q: no key %q", in, key)
			}
			if !m.isText {
				if !bytes.Equal(bytes.TrimSpace(m.value), raw) {
					t.Fatalf("%q: %q is %q, want %q", in, key, m.value, raw)
				}
				continue
			}
			var text string
			if err := json.Unmarshal(raw, &text); err != nil || text != string(m.value) {
				t.Fatalf("%q: %q is %q, want %q %v", in, key, m.value, text, err)
			}
		}
	})
}

// FuzzReader feeds whole files: rows are numbered without a gap, every address
// is whole, and the fields decode.
func FuzzReader(f *testing.F) {
	f.Add([]byte("email,name\na@x.example,A\n\"b@x.example\",\"B\n\n\"\n"))
	f.Add([]byte("{\"email\":\"a@x.example\"}\n{}\nx\n"))
	f.Add([]byte("name\temail\nx\ta@x.example\n"))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04"))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = told(t, of(File{Name: Stdin, Path: Stdin}), bytes.NewReader(in))
	})
}
