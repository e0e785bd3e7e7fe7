package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	yaml "gopkg.in/yaml.v2"
)

// appendValueText appends what {{ field }} shows for a JSON value: numbers in
// their shortest decimal form, true, false, nothing for null, arrays as their
// elements one after another, objects as JSON, empty ones as nothing.
func appendValueText(dst, raw []byte) []byte {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return dst
	case raw[0] == '[' || raw[0] == '{' || raw[0] == '"':
		return append(dst, displayText(decodeJSON(raw))...)
	case (raw[0] == '-' || isDigit(raw[0])) && bytes.ContainsAny(raw, ".eE"):
		return append(dst, displayText(decodeJSON(raw))...)
	}
	return append(dst, raw...)
}

// emptyJSON reports whether a JSON value counts as a missing merge field.
func emptyJSON(raw []byte) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", `""`, "[]", "{}":
		return true
	}
	return false
}

// decodeJSON gives the Liquid value of a JSON text: string, int, float64, bool,
// nil, []any, and yaml.MapSlice for objects, which keeps the order of their
// members, so that a loop over one gives the same message at every attempt.
// Malformed JSON gives nil.
func decodeJSON(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeNext(d, 0)
	if err != nil {
		return nil
	}
	return v
}

const maxJSONDepth = 64

func decodeNext(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return decodeNumber(t.String()), nil
	case json.Delim:
		if depth >= maxJSONDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
		}
		if t == '[' {
			list := []any{}
			for d.More() {
				v, err := decodeNext(d, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := d.Token()
			return list, err
		}
		object := yaml.MapSlice{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeNext(d, depth+1)
			if err != nil {
				return nil, err
			}
			object = append(object, yaml.MapItem{Key: key, Value: v})
		}
		_, err := d.Token()
		return object, err
	default:
		return t, nil
	}
}

// decodeNumber keeps whole numbers whole; those too long for that stay text.
func decodeNumber(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	if strings.ContainsAny(s, ".eE") {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return s
}

// displayText is what {{ expression }} shows.
func displayText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(displayText(e))
		}
		return b.String()
	case []string:
		return strings.Join(v, "")
	case yaml.MapSlice:
		if len(v) == 0 {
			return ""
		}
		return jsonText(v)
	default:
		return fmt.Sprint(v)
	}
}

// jsonText encodes a Liquid value as JSON, objects in their order.
func jsonText(v any) string {
	var b strings.Builder
	writeJSON(&b, v)
	return b.String()
}

func writeJSON(b *strings.Builder, v any) {
	switch v := v.(type) {
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, e)
		}
		b.WriteByte(']')
	case yaml.MapSlice:
		b.WriteByte('{')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, fmt.Sprint(item.Key))
			b.WriteByte(':')
			writeJSON(b, item.Value)
		}
		b.WriteByte('}')
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			raw, _ = json.Marshal(fmt.Sprint(v))
		}
		b.Write(raw)
	}
}
