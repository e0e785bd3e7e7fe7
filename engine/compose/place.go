package compose

import (
	"strings"
	"unicode/utf8"

	"github.com/penstock-mail/penstock/engine/problem"
)

// checker collects what is wrong while a campaign's content is compiled.
type checker struct {
	problem.List
}

// at records a mistake in the setting field, offset octets into t's source.
func (c *checker) at(t Text, offset int, field, format string, args ...any) {
	line, column := t.place(offset)
	c.Add(t.File, line, column, field, format, args...)
}

// warnAt is at for what does not stop a campaign.
func (c *checker) warnAt(t Text, offset int, field, format string, args ...any) {
	line, column := t.place(offset)
	c.Warn(t.File, line, column, field, format, args...)
}

// place is the line and column of an offset in the source. Columns count
// characters. Where the text's own place is unknown, so is this one.
func (t Text) place(offset int) (line, column int) {
	if t.Line == 0 {
		return 0, 0
	}
	before := t.Source[:min(max(offset, 0), len(t.Source))]
	last := strings.LastIndexByte(before, '\n')
	column = utf8.RuneCountInString(before[last+1:])
	if last < 0 {
		return t.Line, max(t.Column, 1) + column
	}
	return t.Line + strings.Count(before, "\n"), column + 1
}

// nearest is the candidate that was probably meant by name, or "". Letter case
// and up to a third of the letters may differ.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	folded := strings.ToLower(name)
	for _, c := range candidates {
		if d := distance(folded, strings.ToLower(c), bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the edit distance in octets; anything from limit up is given as limit.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}
