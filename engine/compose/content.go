package compose

// Text is a piece of template together with its place, so that what is wrong
// with it can be told by file and line. The zero Text is one that was not given.
type Text struct {
	// File as the person named it.
	File string `json:"file,omitempty"`
	// Line and Column of the source's first character, from 1; 0 is unknown.
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Source string `json:"source,omitempty"`
}

// Given reports whether the text was given at all; it may still be empty.
func (t Text) Given() bool { return t != Text{} }

// Part is a file that goes along with a message.
type Part struct {
	// Name is the file name that the receiver sees; for an inline part, the
	// name that the HTML refers to as cid:Name.
	Name string `json:"name"`
	// File as the person named it.
	File string `json:"file,omitempty"`
	// ContentType is a media type such as "image/png"; empty: by the file's
	// extension, then by its content.
	ContentType string `json:"content_type,omitempty"`
	Bytes       []byte `json:"bytes"`
}

// Header is one header field beside those that compose writes itself.
type Header struct {
	Name  string `json:"name"`
	Value Text   `json:"value"`
}

// MissingPolicy says what an unknown or empty merge field means.
type MissingPolicy uint8

const (
	// MissingError: the recipient's message cannot be composed.
	MissingError MissingPolicy = iota
	// MissingEmpty: nothing is put in its place.
	MissingEmpty
)

// Content is what a campaign says: all that is needed to compose its messages
// beside the recipients. It is self-contained (files by their bytes), can be
// encoded as JSON, and is never changed by this package.
type Content struct {
	// From is required; ReplyTo and EnvelopeFrom (default: From's address) are
	// not. All are templates.
	From         Text `json:"from"`
	ReplyTo      Text `json:"reply_to,omitzero"`
	EnvelopeFrom Text `json:"envelope_from,omitzero"`
	Subject      Text `json:"subject,omitzero"`
	// HTML and Text are the body: one or both.
	HTML Text `json:"html,omitzero"`
	Text Text `json:"text,omitzero"`
	// Inline parts are shown by the HTML, Attachments go beside it.
	Inline      []Part `json:"inline,omitempty"`
	Attachments []Part `json:"attachments,omitempty"`
	// Message is a ready-made MIME message instead of Subject, HTML, Text,
	// Inline and Attachments.
	Message Text `json:"message,omitzero"`
	// Headers are added in this order.
	Headers []Header `json:"headers,omitempty"`
	// UnsubscribeURL and UnsubscribeMailto become List-Unsubscribe (RFC 2369)
	// and, for an https URL, List-Unsubscribe-Post (RFC 8058).
	UnsubscribeURL    Text `json:"unsubscribe_url,omitzero"`
	UnsubscribeMailto Text `json:"unsubscribe_mailto,omitzero"`

	OnMissing MissingPolicy `json:"on_missing,omitempty"`
}
