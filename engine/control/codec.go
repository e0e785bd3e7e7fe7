package control

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON refuses fields that it does not know, which the usual codec passes
// over: a slip in "site" must not pause a whole campaign.
type strictJSON struct{ name string }

// strict is the codec under both names that content types give it.
func strict() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{"json"}),
		connect.WithCodec(strictJSON{"json; charset=utf-8"}),
	)
}

// Name implements connect.Codec.
func (c strictJSON) Name() string { return c.name }

// Marshal implements connect.Codec.
func (strictJSON) Marshal(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encode JSON: %T is no message", m)
	}
	return protojson.Marshal(message)
}

// Unmarshal implements connect.Codec.
func (strictJSON) Unmarshal(text []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("decode JSON: %T is no message", m)
	}
	return protojson.Unmarshal(text, message)
}
