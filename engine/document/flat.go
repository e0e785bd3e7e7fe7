package document

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// Value is a scalar with the dotted path where it stands.
type Value struct {
	// Path is as a Node's Field, with [1], [2], ... for the entries of lists.
	Path string
	Text string
}

// Flat is every scalar of the document, in the order of the file. Keys without
// a value are left out, as is what no setting can be: anchors, tags.
func (d *Document) Flat() []Value { return d.root.flat(nil, "") }

func (n *Node) flat(all []Value, path string) []Value {
	if n.Absent() {
		return all
	}
	if text, ok := n.scalar(); ok {
		return append(all, Value{path, text})
	}
	if _, list := n.value.(*ast.SequenceNode); list {
		entries, _ := n.List()
		for i, e := range entries {
			all = e.flat(all, path+"["+strconv.Itoa(i+1)+"]")
		}
		return all
	}
	// What is no mapping either is a problem of the document, and adds nothing.
	if m, ok := n.Mapping(); ok {
		for _, e := range m.Entries() {
			all = e.Value.flat(all, Join(path, e.Key))
		}
	}
	return all
}
