package control

import (
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool/smtp"
)

func recipient(seq ledger.Seq, local, domain string, state ledger.State, last *ledger.Attempt) *pb.Recipient {
	r := &pb.Recipient{Seq: uint32(seq), Address: local + "@" + domain, State: state.String()}
	if last != nil && !last.Due.IsZero() && state != ledger.Cancelled {
		r.Due = timestamppb.New(last.Due)
	}
	return r
}

// lastOf is the last entry of a history, nil if it is empty.
func lastOf(list []ledger.Attempt) *ledger.Attempt {
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

func attempt(a *ledger.Attempt) *pb.Attempt {
	p := &pb.Attempt{
		Time:   timestamppb.New(a.At),
		Took:   durationpb.New(a.Took),
		State:  a.State.String(),
		Host:   a.Host,
		Source: a.Source,
		Tls:    a.TLS,
		Code:   uint32(a.Code),
		Text:   a.Text,
	}
	if a.Attempted {
		p.Number = uint32(a.Number)
	}
	p.EnhancedCode = enhanced(a.Enhanced)
	if a.Addr.IsValid() {
		p.Address = a.Addr.String()
	}
	if a.Command != 0 {
		p.Command = smtp.Command(a.Command).String()
	}
	if a.Anomaly != 0 {
		p.Anomaly = anomalyName(a.Anomaly)
	}
	return p
}

// anomalyName is for people: what the server did, or what a value would have.
func anomalyName(anomaly uint8) string {
	if anomaly == ledger.AnomalyLineBreaks {
		return "line breaks in header values became spaces"
	}
	return smtp.Anomaly(anomaly).String()
}
