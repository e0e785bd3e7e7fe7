package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/signature"
)

// Render composes and signs the message of one row, as its recipient would get
// it; to is whom it is for instead, empty for the row's own address. The keys of
// VERP token and Message-ID are throw-away ones.
func Render(ctx context.Context, cfg *config.Config, c *campaign.Campaign, stdin io.Reader, row uint64, to string) (*compose.Message, error) {
	rows, err := campaign.Open(c, stdin)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	r, err := findRow(rows, row)
	if err != nil {
		return nil, err
	}
	template, problems := compose.Compile(&c.Content, compose.Options{Campaign: c.ID, Columns: rows.Columns(), Secret: make([]byte, 32)})
	if err := problems.Err(); err != nil {
		return nil, err
	}
	whom := compose.Recipient{Seq: r.Seq, Local: r.Local, Domain: r.Domain, Fields: r.Fields, Date: time.Now()}
	if to != "" {
		local, domain, err := address.Parse(to)
		if err != nil {
			return nil, fmt.Errorf("address %q %w", to, err)
		}
		whom.Local, whom.Domain = []byte(local), []byte(domain)
	}
	e := new(envelope)
	if err := template.NewComposer().Compose(&e.composed, &whom, compose.Caps{EightBitMIME: true, SMTPUTF8: true}); err != nil {
		return nil, fmt.Errorf("row %d (%s:%d): %w", row, r.File, r.Line, err)
	}
	set, problems := signature.Set(signaturesFor(cfg, c.Settings.DKIM, template))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if set.Len() > 0 {
		run := &Run{signatures: newSignatures(set, template)}
		if err := newSigner(rsa8.NewSigner()).sign(ctx, run, []*envelope{e}, time.Now()); err != nil {
			return nil, fmt.Errorf("sign row %d: %w", row, err)
		}
	}
	return &e.composed, nil
}

// findRow reads up to the row of that number.
func findRow(rows *campaign.Reader, number uint64) (*campaign.Row, error) {
	for {
		r, reject, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("there is no row %d: the recipients have %d", number, rows.Rows())
		case err != nil:
			return nil, err
		case reject != nil && uint64(reject.Seq) == number:
			return nil, fmt.Errorf("row %d (%s:%d) would not be loaded: %s %s", number, reject.File, reject.Line, reject.Address, reject.Detail)
		case r != nil && uint64(r.Seq) == number:
			return r, nil
		}
	}
}
