package compose

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// jsonRow encodes a JSON object as columns and a row.
func jsonRow(t testing.TB, object string) (columns []string, fields []byte) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, key.(string))
		if raw[0] == '"' {
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			fields = AppendString(fields, s)
		} else {
			fields = AppendJSON(fields, raw)
		}
	}
	return columns, fields
}

// renderAt renders one text for its place with a row.
func renderAt(columns []string, fields []byte, src string, place usePlace, missing MissingPolicy) (string, error) {
	opt := options
	opt.Columns = columns
	c := &compiler{content: &Content{OnMissing: missing}, opt: opt, columns: map[string]source{}}
	c.indexColumns()
	p := c.compileText(text(src), "text", place)
	if p == nil {
		return "", c.Err()
	}
	composer := (&Template{opt: opt}).NewComposer()
	composer.r = recipient()
	if err := composer.fields.Decode(fields); err != nil {
		return "", err
	}
	out, err := composer.appendProgram(nil, p)
	return string(out), err
}

// TestReferenceIsTrue runs every example of reference.md.
func TestReferenceIsTrue(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("reference.md")
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	var fields []byte
	examples := 0
	for i, block := range strings.Split(string(doc), "```") {
		kind, body, _ := strings.Cut(block, "\n")
		if i%2 == 0 {
			continue
		}
		place := inText
		switch kind {
		case "json":
			columns, fields = jsonRow(t, body)
			continue
		case "html":
			place = inHTML
		}
		for _, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
			source, want, ok := strings.Cut(line, " => ")
			if !ok {
				t.Errorf("no example: %q", line)
				continue
			}
			examples++
			got, err := renderAt(columns, fields, source, place, MissingError)
			if err != nil || got != want {
				t.Errorf("%s\n got %q\nwant %q, %v", source, got, want, err)
			}
			// Inside a block nothing may change, so that the plain path and
			// the interpreter agree.
			if strings.Contains(source, "cycle") {
				continue
			}
			got, err = renderAt(columns, fields, "{% if true %}"+source+"{% endif %}", place, MissingError)
			if err != nil || got != want {
				t.Errorf("interpreted: %s\n got %q\nwant %q, %v", source, got, want, err)
			}
		}
	}
	if examples < 60 {
		t.Errorf("only %d examples were found", examples)
	}
	for name := range liquidFilters {
		if !bytes.Contains(doc, []byte("| "+name)) && !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("the filter %s is not in the reference", name)
		}
	}
	for name := range liquidTags {
		if !bytes.Contains(doc, []byte("{% "+name)) {
			t.Errorf("the tag %s is not in the reference", name)
		}
	}
}
