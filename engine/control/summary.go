package control

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Bounds of what the audit log keeps of a request.
const (
	longestText    = 200
	longestList    = 10
	longestSummary = 8 << 10
)

// summary is a request as JSON for the audit log: fields marked debug_redact are
// left out, and so are octets; long texts and lists are cut.
func summary(m proto.Message) json.RawMessage {
	m = proto.Clone(m)
	shorten(m.ProtoReflect())
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil || len(text) > longestSummary {
		return json.RawMessage(fmt.Sprintf(`{"octets":%d}`, proto.Size(m)))
	}
	return text
}

func shorten(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		o, ok := f.Options().(*descriptorpb.FieldOptions)
		switch {
		case ok && o.GetDebugRedact() || f.Kind() == protoreflect.BytesKind:
			m.Clear(f)
		case f.IsMap():
			shortenMap(f, v.Map())
		case f.IsList():
			list := v.List()
			if list.Len() > longestList {
				list.Truncate(longestList)
			}
			for i := range list.Len() {
				if short, ok := shortened(f, list.Get(i)); ok {
					list.Set(i, short)
				}
			}
		default:
			if short, ok := shortened(f, v); ok {
				m.Set(f, short)
			}
		}
		return true
	})
}

func shortenMap(f protoreflect.FieldDescriptor, entries protoreflect.Map) {
	n := 0
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if n++; n > longestList {
			entries.Clear(k)
			return true
		}
		if short, ok := shortened(f.MapValue(), v); ok {
			entries.Set(k, short)
		}
		return true
	})
}

// shortened is what stands for a value that is too long. Messages are shortened
// in place.
func shortened(f protoreflect.FieldDescriptor, v protoreflect.Value) (short protoreflect.Value, ok bool) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		shorten(v.Message())
	case protoreflect.StringKind:
		if text := v.String(); len(text) > longestText {
			return protoreflect.ValueOfString(cut(text, longestText)), true
		}
	}
	return short, false
}

// cut ends a text after so many octets, between two letters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
