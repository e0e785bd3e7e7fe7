package trace

import "strings"

// masked is what stands where a secret was.
const masked = "****"

// mask takes secrets out of a line: what follows the mechanism of AUTH, what is
// said in its exchange, and the challenges, which for some mechanisms let a
// password be guessed (RFC 4954 4; RFC 2195 2).
func mask(kind Kind, command, text string) string {
	switch {
	case kind == Server && strings.HasPrefix(text, "334"):
		return "334 " + masked
	case kind != Client:
		return text
	case strings.EqualFold(command, "AUTH") || hasWord(text, "AUTH"):
		words := strings.Fields(text)
		if len(words) > 0 && !strings.EqualFold(words[0], "AUTH") {
			return masked // an answer to a challenge
		}
		if len(words) > 2 {
			return words[0] + " " + words[1] + " " + masked
		}
	}
	return text
}

// hasWord reports whether a line begins with a word, in whatever case.
func hasWord(line, word string) bool {
	return len(line) >= len(word) && strings.EqualFold(line[:len(word)], word) && (len(line) == len(word) || line[len(word)] == ' ')
}
