package compose

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash"
	"strings"
)

// The VERP token names a recipient in the envelope's from address, so that a
// bounce finds home. It is lower-case letters and digits, 30 octets:
//
//	1                      the version
//	29 digits of base32    campaign number (4 octets), sequence number (4),
//	                       check (10): keyed, so that nobody can make one up
const (
	verpVersion = '1'
	verpCheck   = 10
	verpOctets  = 4 + 4 + verpCheck
	verpLength  = 1 + (verpOctets*8+4)/5
)

// lowerBase32 survives mail systems that change letter case: reading accepts both.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrVERP: not a token of ours. Returned by ParseVERP.
var ErrVERP = errors.New("not a valid VERP token")

// keyed gives what is derived from the secret for each recipient. Not safe for
// concurrent use.
type keyed struct {
	mac   hash.Hash
	input []byte
	sum   [sha256.Size]byte
}

func newKeyed(secret []byte) *keyed {
	return &keyed{mac: hmac.New(sha256.New, secret), input: make([]byte, 0, 64)}
}

// recipient computes 32 octets for (campaign, seq): the first ten are the VERP
// token's check, the next sixteen the Message-ID. One call serves both.
func (k *keyed) recipient(campaign, seq uint32) *[sha256.Size]byte {
	k.input = append(k.input[:0], "penstock recipient 1\x00"...)
	k.input = binary.BigEndian.AppendUint32(k.input, campaign)
	k.input = binary.BigEndian.AppendUint32(k.input, seq)
	return k.digest()
}

// text computes 32 octets for a string, apart from those for recipients.
func (k *keyed) text(s string) *[sha256.Size]byte {
	k.input = append(append(k.input[:0], "penstock text 1\x00"...), s...)
	return k.digest()
}

func (k *keyed) digest() *[sha256.Size]byte {
	k.mac.Reset()
	k.mac.Write(k.input)
	k.mac.Sum(k.sum[:0])
	return &k.sum
}

// appendVERP appends the token; sum is of keyed.recipient for the same pair.
func appendVERP(dst []byte, campaign, seq uint32, sum *[sha256.Size]byte) []byte {
	var raw [verpOctets]byte
	binary.BigEndian.PutUint32(raw[:], campaign)
	binary.BigEndian.PutUint32(raw[4:], seq)
	copy(raw[8:], sum[:verpCheck])
	return lowerBase32.AppendEncode(append(dst, verpVersion), raw[:])
}

// ParseVERP verifies a token and tells whose it is. The letter case does not
// matter. Any token that this secret did not make gives ErrVERP.
func ParseVERP(token string, secret []byte) (campaign, seq uint32, err error) {
	if len(token) != verpLength || token[0] != verpVersion {
		return 0, 0, ErrVERP
	}
	token = strings.ToLower(token)
	raw, err := lowerBase32.DecodeString(token[1:])
	if err != nil || len(raw) != verpOctets {
		return 0, 0, ErrVERP
	}
	campaign, seq = binary.BigEndian.Uint32(raw), binary.BigEndian.Uint32(raw[4:])
	// Made anew and compared whole: the encoding has a bit to spare.
	want := appendVERP(nil, campaign, seq, newKeyed(secret).recipient(campaign, seq))
	if subtle.ConstantTimeCompare([]byte(token), want) != 1 {
		return 0, 0, ErrVERP
	}
	return campaign, seq, nil
}
