package bounce

import (
	"strconv"
	"strings"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// maxRefusalWords bounds a refusal's key: what is said first is the reason, and
// what follows is links and references.
const maxRefusalWords = 12

// refusalKey is the reason alone: the codes and the first words, without what
// differs from one recipient or moment to the next (addresses, numbers,
// references). text is in lower case.
func refusalKey(code int, e smtp.EnhancedCode, text string) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(code))
	if e[0] != 0 {
		for _, n := range e {
			b.WriteByte('.')
			b.WriteString(strconv.Itoa(int(n)))
		}
	}
	words := 0
	for word := range strings.FieldsSeq(text) {
		if words == maxRefusalWords {
			break
		}
		word = strings.Trim(word, `.,:;!?()[]<>"'`)
		if word == "" || strings.ContainsAny(word, "0123456789@=/") {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(word)
		words++
	}
	return b.String()
}
