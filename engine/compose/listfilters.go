package compose

import (
	"sort"
	"strings"

	"github.com/osteele/liquid/values"
)

// Filters on lists that the interpreter lacks, or has in a form that fails on
// odd arguments or does not know ordered objects.

// slice is length characters, or list elements, from start; negative counts
// from the end.
func slice(v any, start int, length func(int) int) any {
	list, isList := v.([]any)
	runes := []rune(nil)
	n := len(list)
	if !isList {
		runes = []rune(displayText(v))
		n = len(runes)
	}
	if start < 0 {
		start += n
	}
	count := length(1)
	if start < 0 || start >= n || count <= 0 {
		if isList {
			return []any{}
		}
		return ""
	}
	end := min(start+min(count, n), n)
	if isList {
		return list[start:end]
	}
	return string(runes[start:end])
}

// member is the value of an object's member.
func member(v, key any) any {
	return values.ValueOf(v).PropertyValue(values.ValueOf(displayText(key))).Interface()
}

// sortBy sorts a list by its elements or by one of their members; nil goes last.
func sortBy(list []any, key any) []any {
	return sorted(list, key, func(a, b any) bool { return values.Less(a, b) })
}

// sortNaturally is sortBy without regard to letter case.
func sortNaturally(list []any, key any) []any {
	return sorted(list, key, func(a, b any) bool {
		return strings.ToLower(displayText(a)) < strings.ToLower(displayText(b))
	})
}

func sorted(list []any, key any, less func(a, b any) bool) []any {
	out := append([]any(nil), list...)
	of := func(v any) any {
		if key == nil {
			return v
		}
		return member(v, key)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := of(out[i]), of(out[j])
		if a == nil || b == nil {
			return a != nil
		}
		return less(a, b)
	})
	return out
}
