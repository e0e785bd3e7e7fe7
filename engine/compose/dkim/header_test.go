package dkim

import (
	"strings"
	"testing"
)

func TestRelaxedField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, want string }{
		{"A: X\r\n", "a:X"},
		{"B : Y\t\r\n\tZ  \r\n", "b:Y Z"}, // RFC 6376 3.4.5
		{"Subject:\r\n", "subject:"},
		{"Subject: \t\r\n \r\n", "subject:"},
		{"SUBJect:a\r\n b\r\n\t\tc \r\n", "subject:a b c"},
		{"S: a:b : c\r\n", "s:a:b : c"},
		{"S: \xc3\xa4  \xff\r\n", "s:\xc3\xa4 \xff"},
		{"S: no end", "s:no end"},
	} {
		if got := string(appendField(nil, []byte(c.field), strings.IndexByte(c.field, ':'))); got != c.want {
			t.Errorf("%q became %q, want %q", c.field, got, c.want)
		}
	}
}

func TestNamesCovered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, names, canonical string }{
		{
			"from and subject once more than they occur",
			"Subject: s\r\nFrom: a@b.c\r\n", "from:from:subject:subject", "from:a@b.c\r\nsubject:s\r\n",
		},
		{"an absent subject cannot be added", "From: a@b.c\r\n\r\nbody", "from:from:subject", "from:a@b.c\r\n"},
		{
			"the last of two first",
			"To: 1\r\nFrom: a@b.c\r\nto: 2\r\n", "from:from:to:to:subject", "from:a@b.c\r\nto:2\r\nto:1\r\n",
		},
		{
			"MIME and list fields, not what relays change",
			"Received: x\r\nReturn-Path: <>\r\nDKIM-Signature: v=1\r\nFROM: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" +
				"List-Unsubscribe: <u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Campaign: 1\r\nContent: x\r\n",
			"from:from:subject:mime-version:list-unsubscribe:list-unsubscribe-post:content-transfer-encoding:content-type",
			"from:a@b.c\r\nmime-version:1.0\r\nlist-unsubscribe:<u>\r\nlist-unsubscribe-post:List-Unsubscribe=One-Click\r\ncontent-transfer-encoding:8bit\r\ncontent-type:text/plain; charset=utf-8\r\n",
		},
	} {
		fields, err := scanFields(nil, []byte(c.header))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		canonical, names := appendSigned(nil, nil, fields)
		if string(names) != c.names {
			t.Errorf("%s: h=%s, want %s", c.name, names, c.names)
		}
		if string(canonical) != c.canonical {
			t.Errorf("%s: signed %q, want %q", c.name, canonical, c.canonical)
		}
	}
}

func TestHeadersThatCannotBeSigned(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"":                                "no From",
		"To: a@b.c\r\n":                   "no From",
		"\r\nFrom: in@the.body\r\n":       "no From",
		"From: a@b.c\r\nno colon\r\n":     "has no name",
		"From: a@b.c\r\n: empty name\r\n": "has no name",
		" folded: first\r\n":              "no From",
	} {
		if _, err := scanFields(nil, []byte(header)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", header, err, want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: a@b.c\r\nTo: x\r\n y\r\n\r\n"))
	f.Add([]byte("From:\r\n \r\nContent-\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		fields, err := scanFields(nil, header)
		if err != nil {
			return
		}
		canonical, names := appendSigned(nil, nil, fields)
		if got := strings.Count(string(names), ":") + 1; got != len(fields)+2 {
			t.Errorf("%q: %d names for %d fields", header, got, len(fields))
		}
		if len(canonical) > len(header)+2*len(fields) {
			t.Errorf("%q grew to %q", header, canonical)
		}
	})
}
