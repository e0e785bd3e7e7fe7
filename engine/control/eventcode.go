package control

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// cursorOf is the cursor behind which the event with this number comes next.
func cursorOf(next uint64) string { return strconv.FormatUint(next-1, 10) }

// eventsField is StreamEventsResponse.events.
const eventsField = 1

// encodeEvents gives events as the fields of a StreamEventsResponse.
func encodeEvents(list []ledger.Event) (b []byte, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	b = make([]byte, 0, 160*len(list))
	var one []byte
	for i := range list {
		if one, err = (proto.MarshalOptions{}).MarshalAppend(one[:0], event(&list[i])); err != nil {
			return nil, fmt.Errorf("encode event %d: %w", list[i].Number, err)
		}
		b = protowire.AppendTag(b, eventsField, protowire.BytesType)
		b = protowire.AppendBytes(b, one)
	}
	return b, nil
}

// event is an event as the API has it.
func event(e *ledger.Event) *pb.Event {
	p := &pb.Event{
		Id: e.Number, Time: moment(e.At), Kind: e.Kind.String(), State: e.Word(), CampaignId: e.Campaign, Site: e.Site,
	}
	switch {
	case e.Notice != nil:
		p.Detail = &pb.Event_Change{Change: change(e.Notice)}
	case e.Reject != nil:
		p.Detail = &pb.Event_Reject{Reject: reject(e.Reject)}
	default:
		p.Recipient = &pb.EventRecipient{Seq: uint32(e.Seq), Domain: e.Domain, Due: moment(e.Attempt.Due)}
		if !e.Erased {
			p.Recipient.Address = e.Local + "@" + e.Domain
		}
		p.Detail = &pb.Event_Attempt{Attempt: attempt(&e.Attempt)}
	}
	return p
}

func change(n *ledger.Notice) *pb.Change {
	return &pb.Change{
		Source: n.Source, By: n.By, Reason: n.Reason, StillPaused: n.Held, Until: moment(n.Until),
		Connections: uint32(n.Connections), MessageRate: n.MessageRate, Rows: n.Rows, Rejected: n.Rejected, Suppressed: n.Suppressed,
	}
}

func reject(r *ledger.Reject) *pb.Reject {
	return &pb.Reject{Seq: uint32(r.Seq), File: r.File, Line: uint32(r.Line), Reason: r.Reason, Detail: r.Detail, Address: r.Address}
}

// heartbeat is how often a stream without events shows that it lives, and how
// far it has looked.
const heartbeat = 15 * time.Second
