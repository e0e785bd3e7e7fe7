package document

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Mapping is a node's keys in the order of the file.
type Mapping struct {
	node    *Node
	entries []Entry
	asked   []string
}

// Entry is one key with its value.
type Entry struct {
	Key string
	// Place is where the key stands.
	Place *Node
	Value *Node
}

// Mapping is the node's keys. Absent is a mapping without any; anything else
// but a mapping is a problem and ok is false. A key given twice is a problem,
// and the first one holds.
func (n *Node) Mapping() (m *Mapping, ok bool) {
	m = &Mapping{node: n}
	if n.Absent() {
		return m, true
	}
	var values []*ast.MappingValueNode
	switch v := n.value.(type) {
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	default:
		n.expected("a mapping of keys to values")
		return nil, false
	}
	for _, v := range values {
		m.add(v)
	}
	return m, true
}

// IsMapping reports whether the node has keys and values, where it may have
// something else as well.
func (n *Node) IsMapping() bool {
	switch n.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func (m *Mapping) add(v *ast.MappingValueNode) {
	n, t := m.node, v.Key.GetToken()
	place := &Node{doc: n.doc, File: n.file(), Line: t.Position.Line, Column: t.Position.Column, Field: n.Field}
	key, ok := (&Node{value: v.Key}).scalar()
	if !ok {
		place.Problem("has a key that is not plain text")
		return
	}
	place.Field = Join(n.Field, key)
	if first := m.find(key); first != nil {
		place.Problem("is given twice, first in line %d", first.Place.Line)
		return
	}
	m.entries = append(m.entries, Entry{Key: key, Place: place, Value: n.child(place.Field, v.Value, t)})
}

// Join is the dotted path of a key within a field.
func Join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

func (m *Mapping) find(key string) *Entry {
	for i := range m.entries {
		if m.entries[i].Key == key {
			return &m.entries[i]
		}
	}
	return nil
}

// Entries is all keys in the order of the file; keys that a person chooses need
// no Close.
func (m *Mapping) Entries() []Entry { return m.entries }

// Node is the mapping's own node.
func (m *Mapping) Node() *Node { return m.node }

// Take asks for a key; nil when it is not there.
func (m *Mapping) Take(key string) *Node {
	m.asked = append(m.asked, key)
	if e := m.find(key); e != nil {
		return e.Value
	}
	return nil
}

// Close reports every key that was not asked for, with the nearest one that
// was.
func (m *Mapping) Close() {
	for _, e := range m.entries {
		if slices.Contains(m.asked, e.Key) {
			continue
		}
		Unknown(e.Place, e.Key, m.asked)
	}
}

// Unknown reports a key that is none of known at its place.
func Unknown(place *Node, key string, known []string) {
	if near := Nearest(key, known); near != "" {
		place.Problem("is not a known key; did you mean %q?", near)
		return
	}
	place.Problem("is not a known key; known here: %s", strings.Join(slices.Sorted(slices.Values(known)), ", "))
}

// Nearest is the known word that word was probably meant to be; empty: none is
// near enough to be worth saying.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the octets to insert, delete, replace or swap with the next
// one to get from a to b (restricted edit distance).
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[(i+1)%3], rows[(i+2)%3], rows[i%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
