// Command netsmtp sends a scenario's letters with Go's net/smtp: one goroutine
// and one lasting connection each, messages taken in turn. With a key it signs
// with go-msgauth, the usual choice beside net/smtp.
package main

import (
	"bytes"
	"crypto"
	"fmt"
	"net/smtp"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/penstock-mail/penstock/bench/senders/letters"
)

func main() { letters.Main("net/smtp", open) }

// open is one connection.
func open(j *letters.Job) (letters.Connection, error) {
	c, err := smtp.Dial(j.Sink)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &connection{job: j, client: c}, nil
}

type connection struct {
	job     *letters.Job
	client  *smtp.Client
	message []byte
	signed  bytes.Buffer
}

// Send sends the n-th letter.
func (c *connection) Send(n int) error {
	c.message = c.job.Letters.Append(c.message[:0], n)
	out := c.message
	if c.job.Key != nil {
		c.signed.Reset()
		if err := dkim.Sign(&c.signed, bytes.NewReader(c.message), signing(c.job.Key)); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
		out = c.signed.Bytes()
	}
	if err := c.client.Mail(letters.Sender); err != nil {
		return err
	}
	if err := c.client.Rcpt(c.job.Letters.People[n].Address); err != nil {
		return err
	}
	w, err := c.client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return err
	}
	return w.Close()
}

// Close ends the session.
func (c *connection) Close() error { return c.client.Quit() }

// signing is what Penstock signs by default, with From and Subject twice.
func signing(key crypto.Signer) *dkim.SignOptions {
	return &dkim.SignOptions{
		Domain: letters.Domain, Selector: letters.Selector, Signer: key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: strings.Fields("From From To Subject Subject Date Message-ID MIME-Version Content-Type Content-Transfer-Encoding"),
	}
}
