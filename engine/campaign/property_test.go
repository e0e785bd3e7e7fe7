package campaign

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// damage is a piece of a file with how many rows it makes, all of them
// rejects. None of it may cost a row before or after it.
var damage = []struct {
	text string
	rows int
}{
	{"", 0}, {"\n", 0}, {"\r\n", 0},
	{"x,y,z\n", 1},
	{"only\n", 1},
	{"a@x.example,bare \"quote\n", 1},
	{"\"closed\"too early,y\n", 1},
	{"a\x00@x.example,y\n", 1},
	{"a@x.example,\xff\n", 1},
	{",\n", 1},
	{"not an address,y\n", 1},
	{"\"two\nlines\",y\n", 1},
	{"a@x.example," + strings.Repeat("x", MaxRow+10) + "\n", 1},
	{"a@x.example,\"" + strings.Repeat("x", MaxRow+10) + "\"\r\n", 1},
}

// TestNoRowIsLost: good rows among every kind of damage all come out, in order,
// in their lines, and rows = loaded + rejected without a gap in the numbers.
func TestNoRowIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		var text strings.Builder
		var want []string
		text.WriteString("email,name\n")
		rows, line := 0, 2
		for i := range rapid.IntRange(0, 40).Draw(rt, "pieces") {
			piece := damage[rapid.IntRange(0, len(damage)-1).Draw(rt, "damage")]
			text.WriteString(piece.text)
			rows += piece.rows
			line += strings.Count(piece.text, "\n")
			address := "user" + strconv.Itoa(i) + "@example.com"
			name := rapid.SampledFrom([]string{"Ann", "", "\"A \"\"n\"\", n\"", "\"two\r\nlines\"", "é"}).Draw(rt, "name")
			text.WriteString(address + "," + name + rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "break"))
			rows++
			want = append(want, strconv.Itoa(rows)+" "+address+" "+strconv.Itoa(line))
			line += 1 + strings.Count(name, "\n")
		}
		r, err := Open(of(write(t, dir, "a.csv", text.String())), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		var got []string
		loaded, rejected := 0, 0
		for {
			row, reject, err := r.Next()
			if err != nil {
				break
			}
			if reject != nil {
				rejected++
				continue
			}
			loaded++
			got = append(got, strconv.Itoa(int(row.Seq))+" "+string(row.Local)+"@"+string(row.Domain)+" "+strconv.Itoa(row.Line))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			rt.Fatalf("got %q, want %q", got, want)
		}
		if loaded+rejected != rows || r.Rows() != uint64(rows) {
			rt.Fatalf("%d loaded and %d rejected of %d rows, reader says %d", loaded, rejected, rows, r.Rows())
		}
	})
}
