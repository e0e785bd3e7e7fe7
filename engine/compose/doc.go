// Package compose makes messages: a campaign's content is compiled once, and
// then a recipient with merge fields becomes the octets that go out.
//
// # Life cycle
//
// [Compile] takes a [Content] (it is self-contained and is what a campaign's
// snapshot holds) and gives a [Template], with every mistake and warning at once.
// A worker makes itself a [Composer] from it, which fills in a [Message] per
// [Recipient]. When the message has met its fate, [Message.Reset] gives its
// memory back. ParseVERP reads the token that a bounce brings home.
//
// Rows of merge fields are encoded by [AppendString] and its like and decoded by
// [Fields]: values by column number, without names.
//
// # The language
//
// Templates are Liquid; reference.md lists what is supported, and its examples
// are run as tests. A template is compiled to literals with values between them.
// Plain values ({{ name | default: 'friend' }}) are put in directly; what needs
// more goes, stretch by stretch, through an interpreter with bounds on rounds,
// output and work (liquid.go).
//
// # Promises
//
//   - The same recipient gives the same message at every attempt: Message-ID,
//     Date, boundaries and all. Only the server's capabilities change encodings.
//   - No value can add a header field, a MIME part, an address or a line of SMTP.
//     Line breaks in header values become spaces and are counted; other
//     controls go; HTML and URLs are escaped; boundaries are keyed, and a body
//     whose values hold one's mark is encoded.
//   - Messages keep to RFC 5322 and 2045: CRLF only, no NUL, no line over 998
//     octets, headers folded at 78 where they can be, encoded words for what is
//     not ASCII, 7bit or 8bit where lines and server allow and quoted-printable
//     otherwise.
//
// # Speed
//
// Fixed text is prepared in both forms, as it is and in quoted-printable, each
// piece from the start of a line; a value is encoded from where the piece
// before it ended, and a soft line break brings the next piece to the start of a
// line (qp.go). Long fixed pieces are shared by all messages, so composing costs
// what differs: about a microsecond and one allocation. For signing, a message
// tells its header apart from its body and names the fixed pieces
// ([Message.Segment]), so that their hashes can be prepared once as well.
//
// # Concurrency
//
// A Template is immutable and shared. A Composer belongs to one worker. A Message
// belongs to one goroutine at a time; its fixed parts are shared and never written.
//
// # Bugs
//
// From, Reply-To and Sender hold one address each. A ready-made message's part
// headers cannot hold templates, and its preamble and epilogue are left out.
// Content-ID is the inline part's name without a domain, as cid: has it, though
// RFC 2392 wants one.
package compose
