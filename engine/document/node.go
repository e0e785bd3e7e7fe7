package document

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Node is one value of a document with its place.
type Node struct {
	// File, Line and Column are the value's place; Line and Column count from
	// 1, 0 is unknown. For a block text (| or >) Line is its first line.
	File         string
	Line, Column int
	// Field is the dotted path from the top, such as "smtp.timeouts.mail".
	Field string

	doc   *Document
	value ast.Node
}

// Problem records a mistake at the node's place.
func (n *Node) Problem(format string, args ...any) {
	n.doc.Problems.Add(n.file(), n.Line, n.Column, n.Field, format, args...)
}

// Warn records a warning at the node's place.
func (n *Node) Warn(format string, args ...any) {
	n.doc.Problems.Warn(n.file(), n.Line, n.Column, n.Field, format, args...)
}

func (n *Node) file() string {
	if n.File != "" {
		return n.File
	}
	return n.doc.File
}

// Absent reports that there is nothing: an empty document, "key:" or null.
func (n *Node) Absent() bool { return n.value == nil || n.value.Type() == ast.NullType }

func (n *Node) place(value ast.Node) {
	n.File = n.file()
	t := value.GetToken()
	if literal, ok := value.(*ast.LiteralNode); ok && literal.Value != nil {
		n.Line, n.Column = t.Position.Line+1, 1
		return
	}
	if m, ok := value.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		t = m.Values[0].Key.GetToken() // the mapping's own token is its first colon
	}
	if m, ok := value.(*ast.MappingValueNode); ok {
		t = m.Key.GetToken()
	}
	if t != nil && t.Position != nil {
		n.Line, n.Column = t.Position.Line, t.Position.Column
	}
}

func (n *Node) child(field string, value ast.Node, key *token.Token) *Node {
	c := &Node{doc: n.doc, File: n.file(), Field: field, value: value}
	if value == nil || value.Type() == ast.NullType {
		// A value that is not there has its key's place.
		if key != nil {
			c.Line, c.Column = key.Position.Line, key.Position.Column
		}
		return c
	}
	if n.Line > 0 || n == n.doc.root {
		c.place(value)
	}
	return c
}

// scalar is the node's text as written, quotes and escapes undone.
func (n *Node) scalar() (string, bool) {
	switch v := n.value.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		// The token's own text: an id of 2026 or 1e3 is meant as written.
		return v.GetToken().Value, true
	}
	return "", false
}

// kind names what the node is, for people.
func (n *Node) kind() string {
	switch n.value.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias, which are not supported"
	case *ast.TagNode:
		return "a tag, which is not supported"
	}
	return "a value"
}

// expected records what the node should have been.
func (n *Node) expected(what string) {
	if n.Absent() {
		n.Problem("has no value: give %s, or leave the key out", what)
		return
	}
	n.Problem("must be %s, not %s", what, n.kind())
}

// List is the entries of a sequence. Absent is an empty list; anything else is
// a problem and ok is false.
func (n *Node) List() (entries []*Node, ok bool) {
	if n.Absent() {
		return nil, true
	}
	sequence, ok := n.value.(*ast.SequenceNode)
	if !ok {
		n.expected("a list")
		return nil, false
	}
	for _, value := range sequence.Values {
		entries = append(entries, n.child(n.Field, value, sequence.Start))
	}
	return entries, true
}

// OneOrMany is the entries of a sequence, or the node itself when it is a
// single value.
func (n *Node) OneOrMany() (entries []*Node, ok bool) {
	if _, single := n.scalar(); single {
		return []*Node{n}, true
	}
	return n.List()
}
