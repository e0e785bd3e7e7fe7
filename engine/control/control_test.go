package control_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestReport(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		res, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "small"})
		if err != nil {
			t.Fatal(err)
		}
		var r map[string]any
		if err := json.Unmarshal(res.ReportJson, &r); err != nil {
			t.Fatal(err)
		}
		counts := r["counts"].(map[string]any)
		for name, want := range map[string]float64{
			"rows": 5, "rejected": 1, "loaded": 4, "pending": 1, "delivered": 1, "deferred": 1,
			"bounced": 0, "expired": 0, "suppressed": 1, "cancelled": 0, "uncertain": 0,
		} {
			if got, ok := counts[name].(float64); !ok || got != want {
				t.Errorf("counts.%s: %v, want %v", name, counts[name], want)
			}
		}
		for _, key := range []string{"id", "uncertain_attempts", "rejects", "sites", "replies", "anomalies", "created", "started", "finished"} {
			if _, ok := r[key]; !ok {
				t.Errorf("no %s in %s", key, res.ReportJson)
			}
		}
		if r["id"] != "small" || r["finished"] != nil || r["rejects"].(map[string]any)["address"] != 1.0 || len(r["replies"].([]any)) != 2 {
			t.Errorf("report: %s", res.ReportJson)
		}
	})
}

func TestRecipient(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		get := func(address string) *pb.GetRecipientResponse {
			t.Helper()
			res, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: address})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := get("u2@A.Test")
		if r := res.Recipient; r.Address != "u2@a.test" || r.Seq != 2 || r.State != "deferred" || !r.Due.AsTime().Equal(noon.Add(time.Hour)) {
			t.Errorf("recipient: %v", r)
		}
		if len(res.Attempts) != 1 {
			t.Fatalf("attempts: %v", res.Attempts)
		}
		a := res.Attempts[0]
		if a.Number != 1 || !a.Time.AsTime().Equal(noon) || a.Took.AsDuration() != 42*time.Millisecond || a.State != "deferred" ||
			a.Host != "mx.a.test" || a.Address != "192.0.2.1:25" || a.Source != "default" || a.Tls != "TLS1.3" || a.Command != "RCPT" ||
			a.Code != 451 || a.EnhancedCode != "4.3.0" || a.Text != "Try again" || a.Anomaly != "" {
			t.Errorf("attempt: %v", a)
		}
		if res := get("u3@a.test"); res.Recipient.State != "pending" || len(res.Attempts) != 0 || res.Recipient.Due != nil {
			t.Errorf("u3: %v", res)
		}
		if res := get("u4@a.test"); res.Recipient.State != "suppressed" {
			t.Errorf("u4: %v", res)
		}
	})
}

func TestRejects(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		stream, err := c.ListRejects(t.Context(), &pb.ListRejectsRequest{CampaignId: "big"})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for stream.Receive() {
			for _, r := range stream.Msg().Rejects {
				n++
				if int(r.Seq) != people+n || int(r.Line) != people+n+1 || r.File != "people.csv" || r.Reason != "address" || r.Detail != "has no @" || r.Address != "nobody" {
					t.Fatalf("reject %d: %v", n, r)
				}
			}
		}
		if err := errors.Join(stream.Err(), stream.Close()); err != nil || n != people {
			t.Errorf("%d rejects, error %v", n, err)
		}
	})
}

func TestVerifyAndBackup(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		v, err := c.Verify(t.Context(), &pb.VerifyRequest{})
		if err != nil || v.Campaigns != 2 || v.Recipients != people+4 || v.Attempts < 2 || len(v.Faults) != 0 {
			t.Errorf("verify: %v %v", v, err)
		}
		dir := filepath.Join(t.TempDir(), "copy")
		if _, err := c.Backup(t.Context(), &pb.BackupRequest{Directory: dir}); err != nil {
			t.Fatal(err)
		}
		led, err := ledger.Open(dir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer led.Close()
		r, err := led.Verify(t.Context())
		if err != nil || !r.OK() || r.Recipients != people+4 {
			t.Errorf("the copy: %+v %v", r, err)
		}
	})
}

func TestErrorsHaveCodes(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		stream := func(s interface {
			Receive() bool
			Err() error
			Close() error
		}, err error) error {
			if err != nil {
				return err
			}
			for s.Receive() {
			}
			defer s.Close()
			return s.Err()
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, call := range []struct {
			name string
			do   func() error
			code connect.Code
			says string
		}{
			{"report of no campaign", func() error {
				_, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "none"})
				return err
			}, connect.CodeNotFound, "none"},
			{"recipient of no campaign", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "none", Address: "u1@a.test"})
				return err
			}, connect.CodeNotFound, "none"},
			{"recipient that is none", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: "u9@a.test"})
				return err
			}, connect.CodeNotFound, "penstock rejects small"},
			{"recipient that is no address", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: "u9"})
				return err
			}, connect.CodeInvalidArgument, `"u9"`},
			{"outcomes of no campaign", func() error {
				s, err := c.ListOutcomes(t.Context(), &pb.ListOutcomesRequest{CampaignId: "none"})
				return stream(s, err)
			}, connect.CodeNotFound, "none"},
			{"outcomes of no state", func() error {
				s, err := c.ListOutcomes(t.Context(), &pb.ListOutcomesRequest{CampaignId: "small", States: []string{"delivered", "lost"}})
				return stream(s, err)
			}, connect.CodeInvalidArgument, `"lost"`},
			{"outcomes at no domain", outcomes(c, &pb.ListOutcomesRequest{Domains: []string{"a..test"}}), connect.CodeInvalidArgument, `"a..test"`},
			{"outcomes of no code", outcomes(c, &pb.ListOutcomesRequest{Codes: []uint32{99}}), connect.CodeInvalidArgument, "reply code 99"},
			{"outcomes of no enhanced code", outcomes(c, &pb.ListOutcomesRequest{EnhancedCode: "5.x"}), connect.CodeInvalidArgument, `"5.x"`},
			{"outcomes of no time", outcomes(c, &pb.ListOutcomesRequest{Until: &timestamppb.Timestamp{Nanos: -1}}), connect.CodeInvalidArgument, "until"},
			{"outcomes behind nothing", outcomes(c, &pb.ListOutcomesRequest{Cursor: "AQ"}), connect.CodeInvalidArgument, "not one that a listing gave"},
			{"outcomes behind another campaign's", outcomes(c, &pb.ListOutcomesRequest{Cursor: base64.RawURLEncoding.EncodeToString([]byte("\x01\x00\x00\x00\x02\x00\x00\x00\x01a.test"))}), connect.CodeInvalidArgument, "another campaign"},
			{"address that is none", func() error {
				_, err := c.FindRecipient(t.Context(), &pb.FindRecipientRequest{Address: "u9"})
				return err
			}, connect.CodeInvalidArgument, `"u9"`},
			{"address in too many campaigns", func() error {
				_, err := c.FindRecipient(t.Context(), &pb.FindRecipientRequest{Address: "u9@a.test", PageSize: 101})
				return err
			}, connect.CodeInvalidArgument, "at most 100"},
			{"address behind no page", func() error {
				_, err := c.FindRecipient(t.Context(), &pb.FindRecipientRequest{Address: "u9@a.test", PageToken: "x"})
				return err
			}, connect.CodeInvalidArgument, "page_token"},
			{"rejects of no campaign", func() error {
				s, err := c.ListRejects(t.Context(), &pb.ListRejectsRequest{CampaignId: "none"})
				return stream(s, err)
			}, connect.CodeNotFound, "none"},
			{"backup to a relative path", func() error {
				_, err := c.Backup(t.Context(), &pb.BackupRequest{Directory: "copy"})
				return err
			}, connect.CodeInvalidArgument, "absolute"},
			{"backup to what exists", func() error {
				copied := &pb.BackupRequest{Directory: filepath.Join(t.TempDir(), "copy")}
				if _, err := c.Backup(t.Context(), copied); err != nil {
					return err
				}
				_, err := c.Backup(t.Context(), copied)
				return err
			}, connect.CodeAlreadyExists, ""},
			{"too large a request", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: strings.Repeat("u", 1<<20+1)})
				return err
			}, connect.CodeResourceExhausted, ""},
			{"a call that was given up", func() error {
				_, err := c.Verify(ended, &pb.VerifyRequest{})
				return err
			}, connect.CodeCanceled, ""},
		} {
			err := call.do()
			if got := connect.CodeOf(err); err == nil || got != call.code || !strings.Contains(err.Error(), call.says) {
				t.Errorf("%s: %v; want %v and %q", call.name, err, call.code, call.says)
			}
			if cause := control.Cause(err); cause != nil && strings.HasPrefix(cause.Error(), call.code.String()) {
				t.Errorf("%s: the cause still shows the protocol: %v", call.name, cause)
			}
		}
	})
}
