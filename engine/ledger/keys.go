package ledger

import (
	"encoding/binary"
	"errors"
)

// The keyspaces, one byte each. Within a keyspace a campaign is its number as
// four bytes, a domain its text and a zero byte, a sequence number four bytes;
// all big-endian, so that keys sort as the numbers do.
const (
	spaceMeta      = 'm' // m<what>
	spaceName      = 'n' // n<campaign name> -> number
	spaceCampaign  = 'c' // c<campaign><part> -> record and its blobs
	spaceRecipient = 'r' // r<campaign><domain>0<seq> -> flags, local part, fields
	spaceHistory   = 'h' // h<campaign><domain>0<seq><n> -> one attempt or event
	spaceDomain    = 'd' // d<campaign><domain>0 -> counts, marks, site, trouble
	spaceQueue     = 'q' // q<campaign><domain>0<bucket><seq> -> attempts, due
	spaceEvents    = 'e' // e<number of first event> -> history keys of a group
	spaceSegment   = 'g' // g<number of first event> -> when it was, octets before
	spaceIndex     = 'x' // x<campaign><hash of address><seq> -> nothing
	spaceReject    = 'j' // j<campaign><seq> -> why the row was not loaded
	spacePeer      = 'p' // p<id> -> host, address, source, TLS
	spaceShape     = 't' // t<id> -> reply text without its variable parts
	spaceReply     = 'k' // k<campaign><reply><part> -> how often, an example
	spaceLearned   = 'l' // l<kind>0<key> -> the caller's bytes
)

// campaignSpaces are those whose second to fifth bytes are the campaign: what
// has to go when a campaign goes.
var campaignSpaces = []byte{
	spaceCampaign, spaceRecipient, spaceHistory, spaceDomain, spaceQueue,
	spaceIndex, spaceReject, spaceReply,
}

// The parts of a campaign: its record and the blobs that change at other times.
const (
	partRecord = iota
	partSnapshot
	partSettings
	partColumns
	// partTrimmed is a sum of the campaign's events that were trimmed.
	partTrimmed = 0x40
)

var (
	keyFormat = []byte{spaceMeta, 'f'}
	keySecret = []byte{spaceMeta, 's'}
	keyNext   = []byte{spaceMeta, 'n'}

	keyOldestEvent = []byte{spaceMeta, 'e'}
)

// errKey says that a key does not have its keyspace's form: damage.
var errKey = errors.New("malformed key")

func appendNameKey(dst []byte, name string) []byte {
	return append(append(dst, spaceName), name...)
}

func appendCampaignKey(dst []byte, space byte, campaign uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, space), campaign)
}

// campaignBounds are the first key of a campaign in a keyspace and the first
// after it.
func campaignBounds(space byte, campaign uint32) (lower, upper []byte) {
	lower = appendCampaignKey(nil, space, campaign)
	if campaign == ^uint32(0) {
		return lower, []byte{space + 1}
	}
	return lower, appendCampaignKey(nil, space, campaign+1)
}

// appendDomainKey is the prefix of everything of a domain in a keyspace, and
// the whole key of its record.
func appendDomainKey(dst []byte, space byte, campaign uint32, domain string) []byte {
	dst = appendCampaignKey(dst, space, campaign)
	dst = append(dst, domain...)
	return append(dst, 0)
}

func appendSeqKey(dst []byte, space byte, campaign uint32, domain string, seq Seq) []byte {
	return binary.BigEndian.AppendUint32(appendDomainKey(dst, space, campaign, domain), uint32(seq))
}

func appendHistoryKey(dst []byte, campaign uint32, domain string, seq Seq, n uint16) []byte {
	return binary.BigEndian.AppendUint16(appendSeqKey(dst, spaceHistory, campaign, domain, seq), n)
}

func appendQueueKey(dst []byte, campaign uint32, domain string, at place) []byte {
	dst = appendDomainKey(dst, spaceQueue, campaign, domain)
	dst = binary.BigEndian.AppendUint32(dst, at.bucket)
	return binary.BigEndian.AppendUint32(dst, uint32(at.seq))
}

func appendIndexKey(dst []byte, campaign uint32, hash uint64, seq Seq) []byte {
	dst = appendCampaignKey(dst, spaceIndex, campaign)
	dst = binary.BigEndian.AppendUint64(dst, hash)
	return binary.BigEndian.AppendUint32(dst, uint32(seq))
}

func appendIDKey(dst []byte, space byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, space), id)
}

func appendLearnedKey(dst []byte, kind, key string) []byte {
	dst = append(append(dst, spaceLearned), kind...)
	return append(append(dst, 0), key...)
}

// campaignPrefix is the length of a keyspace byte and a campaign.
const campaignPrefix = 5

// splitKey cuts a key of a domain into the domain and its last tail bytes.
func splitKey(key []byte, tail int) (domain, rest []byte, err error) {
	end := len(key) - tail - 1
	if end < campaignPrefix || key[end] != 0 {
		return nil, nil, errKey
	}
	return key[campaignPrefix:end], key[end+1:], nil
}

func splitSeqKey(key []byte) (domain []byte, seq Seq, err error) {
	domain, rest, err := splitKey(key, 4)
	if err != nil {
		return nil, 0, err
	}
	return domain, Seq(binary.BigEndian.Uint32(rest)), nil
}

func splitHistoryKey(key []byte) (domain []byte, seq Seq, n uint16, err error) {
	domain, rest, err := splitKey(key, 6)
	if err != nil {
		return nil, 0, 0, err
	}
	return domain, Seq(binary.BigEndian.Uint32(rest)), binary.BigEndian.Uint16(rest[4:]), nil
}

func splitQueueKey(key []byte) (domain []byte, at place, err error) {
	domain, rest, err := splitKey(key, 8)
	if err != nil {
		return nil, place{}, err
	}
	return domain, place{binary.BigEndian.Uint32(rest), Seq(binary.BigEndian.Uint32(rest[4:]))}, nil
}
