// Package document reads the YAML files that people write: it hands out nodes
// with their places and collects every mistake instead of stopping at the
// first, which decoding into structs would do.
//
// A [Document] is made by [Parse] or [Read]. A [Node] is asked for what it
// should be ([Node.Text], [Node.Duration], ...); what it is not becomes a
// problem with file, line, column and field, and the destination stays as it
// was. A [Mapping] remembers which keys were asked for; [Mapping.Close] reports
// the others as unknown.
//
// Only plain YAML is taken: one document, no anchors, aliases, merge keys or
// tags, nothing nested deeper than [MaxDepth], at most [MaxSize] octets. So a
// small file can never become a large one.
//
// A document and its nodes are not safe for concurrent use.
package document

// Bounds of what is read.
const (
	// MaxSize is the largest file, in octets.
	MaxSize = 1 << 20
	// MaxDepth is the deepest nesting.
	MaxDepth = 64
)
