package document

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/penstock-mail/penstock/engine/problem"
)

// Document is one YAML file with what is wrong with it.
type Document struct {
	// File as the person named it.
	File string
	// Problems grows as nodes are asked for what they are not.
	Problems problem.List

	root *Node
}

// Read parses the file at path. A file that cannot be read is a problem of the
// document, which is then empty.
func Read(path string) *Document {
	source, err := readBounded(path)
	if err != nil {
		d := &Document{File: path}
		d.root = &Node{doc: d}
		d.Problems.Add(path, 0, 0, "", "%s", Reason(err))
		return d
	}
	return Parse(path, source)
}

var errTooLarge = fmt.Errorf("is larger than %d octets", MaxSize)

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(source) > MaxSize {
		err = errTooLarge
	}
	return source, err
}

// Reason is what went wrong with a file, without the operation and the path
// that an *fs.PathError repeats: the problem names the file already.
func Reason(err error) string {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// Parse reads source, which file names in problems.
func Parse(file string, source []byte) *Document {
	d := &Document{File: file}
	d.root = &Node{doc: d}
	if !utf8.Valid(source) {
		d.Problems.Add(file, firstInvalidLine(source), 0, "", "is not UTF-8 text")
		return d
	}
	body, fault := parseBody(source)
	if fault != nil {
		d.Problems.Add(file, fault.line, fault.column, "", "%s", fault.message)
		return d
	}
	d.root.value = body
	if body != nil {
		d.root.place(body)
	}
	return d
}

// Root is the document's top node; an empty document's is absent.
func (d *Document) Root() *Node { return d.root }

// Scalar is a node that stands in no file, such as the value of a command-line
// flag: problems name origin instead of file and line. Several values, or none,
// become a list.
func (d *Document) Scalar(origin, field string, values ...string) *Node {
	plain := func(value string) ast.Node {
		return ast.String(token.String(value, value, &token.Position{}))
	}
	n := &Node{doc: d, File: origin, Field: field}
	if len(values) == 1 {
		n.value = plain(values[0])
		return n
	}
	list := &ast.SequenceNode{BaseNode: &ast.BaseNode{}, Start: token.SequenceStart("[", &token.Position{})}
	for _, value := range values {
		list.Values = append(list.Values, plain(value))
	}
	n.value = list
	return n
}

type fault struct {
	line, column int
	message      string
}

// parseBody gives the one document's body, nil when there is none.
func parseBody(source []byte) (body ast.Node, f *fault) {
	// The parser is not ours and is known to panic on odd input; whatever it
	// does, a person's file must come back as a message.
	defer func() {
		if r := recover(); r != nil {
			body, f = nil, &fault{message: fmt.Sprintf("cannot be read as YAML: %v", r)}
		}
	}()
	tokens := lexer.Tokenize(string(source))
	if f := bounded(tokens); f != nil {
		return nil, f
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(err)
	}
	for _, doc := range parsed.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case body != nil:
			position := doc.Body.GetToken().Position
			return nil, &fault{position.Line, position.Column, "has a second document: one file, one document"}
		default:
			body = doc.Body
		}
	}
	return body, nil
}

func syntaxFault(err error) *fault {
	f := &fault{message: "is not valid YAML: " + err.Error()}
	if syntax, ok := errors.AsType[yaml.Error](err); ok {
		f.message = "is not valid YAML: " + syntax.GetMessage()
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			f.line, f.column = t.Position.Line, t.Position.Column
		}
	}
	return f
}

// bounded refuses nesting that would take the recursive parser down: flow
// brackets are counted, and block indicators on one line ("- - - a"). Nesting
// by indentation alone is bounded by the file's size, as each level costs a
// line as wide as it is deep.
func bounded(tokens token.Tokens) *fault {
	flow, line, indicators := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, indicators = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			indicators++
		}
		if flow > MaxDepth || indicators > MaxDepth {
			return &fault{t.Position.Line, t.Position.Column, "is nested too deeply"}
		}
	}
	return nil
}

func firstInvalidLine(source []byte) int {
	line := 1
	for len(source) > 0 {
		r, size := utf8.DecodeRune(source)
		if r == utf8.RuneError && size == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		source = source[size:]
	}
	return line
}
