package dkim

import (
	"strings"

	"pgregory.net/rapid"
)

// drawMessage makes a message that tries to break canonicalisation: header
// (with the CRLF of its last field) and body, both with CRLF line breaks only.
func drawMessage(t *rapid.T) (header, body []byte) {
	var h strings.Builder
	h.WriteString("From:" + drawValue(t, "from") + "\r\n")
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{
		"To", "to", "Subject", "SUBJECT", "Date", "Message-ID", "Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post",
		"X-Other", "Received", "Content-Type", "content-transfer-encoding", "Content-Description", "MIME-Version", "Feedback-ID",
	}), 0, 12).Draw(t, "names") {
		h.WriteString(name + ":" + drawValue(t, name) + "\r\n")
	}
	return []byte(h.String()), []byte(drawBody(t))
}

func drawValue(t *rapid.T, label string) string {
	value := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "word", " ", "\t", "  \t ", "\r\n ", "\r\n\t\t", " \r\n ", ":", ";", "=?utf-8?q?=C3=A4?=", "<a@b.example>", "\"q \\\" q\"", "ä", "\xe4",
		strings.Repeat("long", 60), strings.Repeat(" x\r\n", 8) + " y",
	}), 1, 8).Draw(t, label), "")
	// A line of white space alone is obsolete syntax (RFC 5322 4.2), which
	// parsers read differently: some take it for the end of the header.
	lines := strings.Split(value, "\r\n")
	kept := lines[:1]
	for _, l := range lines[1:] {
		if strings.Trim(l, " \t") != "" {
			kept = append(kept, l)
		}
	}
	return " v" + strings.Join(kept, "\r\n")
}

func drawBody(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		"\r\n", "\r\n\r\n", " ", "\t", " \t  ", "text", "a b  c", "\t\r\n", " \r\n", ".", "..\r\n", "ä", "\xff\xfe", "=20", "--boundary\r\n",
		"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUJDREVGR0g=\r\n", 5),
		strings.Repeat("x", 990) + "\r\n", strings.Repeat("soft line  =\r\n", 9),
	}), 0, 14).Draw(t, "body"), "")
}
