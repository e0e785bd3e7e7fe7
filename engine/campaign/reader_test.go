package campaign

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func itoa(n int) string            { return strconv.Itoa(n) }
func quoteGo(s string) string      { return strconv.Quote(s) }
func joined(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// TestRows compares what each file in testdata/rows becomes with the .rows
// beside it.
func TestRows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/rows/*.*v")
	more, _ := filepath.Glob("testdata/rows/*.jsonl")
	if files = append(files, more...); err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		f := File{Name: filepath.Base(path), Path: path, Regular: true, Size: info.Size(), ModTime: info.ModTime()}
		lines, err := told(t, of(f), nil)
		if err != nil {
			lines = append(lines, "error "+err.Error())
		}
		golden(t, path+".rows", joined(lines))
	}
}

// TestRowsDoNotHangOnHowTheyCome reads the same files from standard input, an
// octet at a time, and packed.
func TestRowsDoNotHangOnHowTheyCome(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/rows/*.csv")
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		want, err := os.ReadFile(path + ".rows")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(want), "error") {
			continue
		}
		c := of(File{Name: Stdin, Path: Stdin})
		for how, stdin := range map[string]io.Reader{
			"octets": iotest.OneByteReader(bytes.NewReader(content)),
			"gzip":   iotest.DataErrReader(bytes.NewReader(gzipOf(t, content))),
			"zstd":   iotest.HalfReader(bytes.NewReader(zstdOf(t, content))),
		} {
			lines, err := told(t, c, stdin)
			got := strings.ReplaceAll(joined(lines), " -:", " "+name+":")
			if err != nil || got != string(want) {
				t.Errorf("%s as %s: got\n%s%v\nwant\n%s", path, how, got, err, want)
			}
		}
		for packed, content := range map[string][]byte{name + ".gz": gzipOf(t, content), name + ".zst": zstdOf(t, content)} {
			lines, err := told(t, of(write(t, t.TempDir(), packed, string(content))), nil)
			got := strings.ReplaceAll(joined(lines), packed, name)
			if err != nil || got != string(want) {
				t.Errorf("%s: got\n%s%v\nwant\n%s", packed, got, err, want)
			}
		}
	}
}

func gzipOf(t testing.TB, content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(t testing.TB, content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(content, nil)
}

func TestSeveralFilesShareTheirColumns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lines, err := told(t, of(
		write(t, dir, "a.csv", "email,name\na@x.example,Ann\n"),
		write(t, dir, "b.tsv", "city\temail\nBonn\tb@x.example\nUlm\tB@X.example\n"),
		write(t, dir, "c.jsonl", `{"email": "c@x.example", "age": 7, "city": "Köln"}`+"\n"),
		File{Name: Stdin, Path: Stdin},
	), strings.NewReader("name,email\nDan,d@x.example\n,\n"))
	want := `row 1 a@x.example email=(own) name="Ann"
row 2 b@x.example email=(own) city="Bonn"
row 3 B@x.example email="B@X.example" city="Ulm"
row 4 c@x.example email=(own) city="Köln" age=json:7
row 5 d@x.example email=(own) name="Dan"
reject 6 -:3 no-address : has no address
`
	if got := joined(lines); got != want || err != nil {
		t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
	}
}

// TestColumnsKeepTheirPlace as the list grows.
func TestColumnsKeepTheirPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	csv := write(t, dir, "a.csv", "email,name\na@x.example,Ann\n")
	r, err := Open(of(csv, write(t, dir, "b.jsonl", `{"city":"Ulm","email":"b@x.example"}`+"\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := strings.Join(r.Columns(), ",")
	for range 2 {
		if row, _, err := r.Next(); row == nil {
			t.Fatal(err)
		}
	}
	if after := strings.Join(r.Columns(), ","); before != "email,name" || after != "email,name,city" || !r.Grows() {
		t.Errorf("columns %s, then %s, grows %v", before, after, r.Grows())
	}
	plain, err := Open(of(csv), nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Close(); plain.Grows() {
		t.Error("the columns of a CSV file grow")
	}
}

func TestBadHeadersAreProblemsOfAllFilesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Open(of(
		write(t, dir, "twice.csv", "email,name,email\n"),
		write(t, dir, "near.csv", "Email,name\n"),
		write(t, dir, "none.csv", "name,city\n"),
		write(t, dir, "empty.csv", ""),
		write(t, dir, "semicolons.csv", "email;name\n"),
		write(t, dir, "headless.csv", "a@x.example\n"),
		write(t, dir, "reserved.csv", "email,penstock\n"),
		write(t, dir, "quote.csv", "email,\"name\n"),
		write(t, dir, "latin1.csv", "email,stra\xdfe\n"),
		write(t, dir, "utf16.csv", "\xff\xfee\x00m\x00"),
		write(t, dir, "unnamed.csv", "email,,name,\n"),
		write(t, dir, "bad.csv.gz", "no gzip"),
		write(t, dir, "bad.csv.zst", "no zstd at all"),
		File{Name: "gone.csv", Path: filepath.Join(dir, "gone.csv"), Regular: true},
	), nil)
	if err == nil {
		t.Fatal("no problems")
	}
	golden(t, "testdata/headers.problems", err.Error()+"\n")
}

func TestColumnsWithoutNameAreLeftOut(t *testing.T) {
	t.Parallel()
	r, err := Open(of(write(t, t.TempDir(), "a.csv", "email,,name,\na@x.example,1,Ann,2\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := strings.Join(r.Columns(), ","); got != "email,name" || len(r.Warnings()) != 2 {
		t.Errorf("columns %s, warnings %v", got, r.Warnings())
	}
	lines, err := told(t, of(write(t, t.TempDir(), "a.csv", "email,,name,\na@x.example,1,Ann,2\n")), nil)
	if got, want := joined(lines), "row 1 a@x.example email=(own) name=\"Ann\"\n"; got != want || err != nil {
		t.Errorf("got %s%v, want %s", got, err, want)
	}
}

// TestDamagedFileIsNoEnd: what cannot be read to its end is an error, never
// fewer recipients.
func TestDamagedFileIsNoEnd(t *testing.T) {
	t.Parallel()
	content := []byte("email\n" + strings.Repeat("a@x.example\n", 10_000))
	for name, packed := range map[string][]byte{"a.csv.gz": gzipOf(t, content), "a.csv.zst": zstdOf(t, content)} {
		_, err := told(t, of(write(t, t.TempDir(), name, string(packed[:len(packed)-6]))), nil)
		if err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s cut short: got %v", name, err)
		}
	}
	broken := errors.New("broken pipe")
	_, err := told(t, of(File{Name: Stdin, Path: Stdin}), io.MultiReader(strings.NewReader("email\na@x.example\n"), iotest.ErrReader(broken)))
	if err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("standard input that breaks: got %v", err)
	}
}

func TestFileThatChangesWhileItIsReadIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := write(t, dir, "a.csv", "email\na@x.example\n")
	write(t, dir, "a.csv", "email\na@x.example\nb@x.example\n")
	if _, err := told(t, of(f), nil); err == nil || !strings.Contains(err.Error(), "changed while it was being read") {
		t.Errorf("got %v", err)
	}
}

func TestHugeFieldsAreRejectedAndTheFileGoesOn(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 1<<20)
	content := "email,note\n" +
		"a@x.example," + huge + "\n" +
		"b@x.example,ok\n" +
		"c@x.example,\"" + huge + "\"\n" +
		"d@x.example,\"" + strings.Repeat("line\n", MaxRow/5+1) + "\"\n" +
		"e@x.example,ok\n" +
		"f@x.example," + strings.Repeat("y", MaxRow-len("f@x.example,")) + "\r\n" +
		"g@x.example," + strings.Repeat("y", MaxRow-len("g@x.example,")+1) + "\r\n"
	lines, err := told(t, of(write(t, t.TempDir(), "a.csv", content)), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		_, rest, _ = strings.Cut(rest, " ")
		if word == "row" {
			rest, _, _ = strings.Cut(rest, " ")
		} else {
			rest, _, _ = strings.Cut(strings.TrimPrefix(rest, "a.csv:"), ":")
			_, rest, _ = strings.Cut(rest, " ")
		}
		got[word+" "+rest]++
	}
	// The value with line breaks costs its first line; what were its other
	// lines are rows with too few values, the last of them a stray quote that
	// finds no end before the next huge row.
	for what, want := range map[string]int{
		"row b@x.example": 1, "row e@x.example": 1, "row f@x.example": 1,
		"reject too-long ": 5, "reject wrong-columns line": MaxRow / 5,
	} {
		if got[what] != want {
			t.Errorf("%s: %d times, want %d (%v)", what, got[what], want, len(lines))
		}
	}
}

func TestRowsAreReadWithoutAllocating(t *testing.T) {
	csv, jsonl := benchmarkRows(2000)
	for name, content := range map[string]string{"a.csv": csv, "a.jsonl": jsonl} {
		r, err := Open(of(write(t, t.TempDir(), name, content)), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		next := func() {
			if _, reject, err := r.Next(); reject != nil || err != nil {
				t.Fatal(reject, err)
			}
		}
		next()
		if n := testing.AllocsPerRun(1000, next); n != 0 {
			t.Errorf("%s: %v allocations a row", name, n)
		}
	}
}

// benchmarkRows are rows of about 100 octets.
func benchmarkRows(n int) (csv, jsonl string) {
	var c, j strings.Builder
	c.WriteString("email,first_name,last_name,city,id\n")
	for i := range n {
		id := strconv.Itoa(1_000_000 + i)
		c.WriteString("first.last" + id + "@example" + itoa(i%50) + ".com,Firstname,Lastname-Longer,A City of Some Length,ABCDEFGHIJ" + id + "\n")
		j.WriteString(`{"email":"first.last` + id + `@example` + itoa(i%50) + `.com","first_name":"Firstname","last_name":"Lastname-Longer","city":"A City of Some Length","id":` + id + "}\n")
	}
	return c.String(), j.String()
}

func BenchmarkRows(b *testing.B) {
	csv, jsonl := benchmarkRows(20_000)
	quoted := strings.ReplaceAll(csv, ",Firstname,", `,"First ""Q"" name",`)
	for _, c := range []struct{ name, file, content string }{
		{"csv", "a.csv", csv}, {"quoted", "a.csv", quoted}, {"jsonl", "a.jsonl", jsonl},
		{"gzip", "a.csv.gz", string(gzipOf(b, []byte(csv)))}, {"zstd", "a.csv.zst", string(zstdOf(b, []byte(csv)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := write(b, b.TempDir(), c.file, c.content)
			b.ReportAllocs()
			rows := 0
			for rows < b.N {
				r, err := Open(of(f), nil)
				if err != nil {
					b.Fatal(err)
				}
				for ; rows < b.N; rows++ {
					_, reject, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if reject != nil || err != nil {
						b.Fatal(reject, err)
					}
				}
				r.Close()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestPipeIsReadOnce: a pipe among the files is neither looked at twice nor
// compared.
func TestPipeIsReadOnce(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := out.WriteString("email\na@x.example\n"); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pipe.csv")
	if err := os.Symlink("/proc/self/fd/"+itoa(int(in.Fd())), path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no pipes by name here: ", err)
	}
	f := File{Name: "pipe.csv", Path: path}
	lines, err := told(t, of(write(t, t.TempDir(), "a.csv", "email\nb@x.example\n"), f), nil)
	if got, want := joined(lines), "row 1 b@x.example email=(own)\nrow 2 a@x.example email=(own)\n"; got != want || err != nil {
		t.Errorf("got %s%v, want %s", got, err, want)
	}
	if s, err := Freeze(of(f)); err != nil || s.Recipients[0] != (FrozenFile{Name: "pipe.csv"}) {
		t.Errorf("frozen as %+v, %v", s, err)
	}
}
