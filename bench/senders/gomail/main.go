// Command gomail sends a scenario's letters with wneessen/go-mail: a client and
// one lasting connection for each goroutine, without NOOP and RSET between
// messages, bodies as they are (8bit). It signs with the library's own DKIM.
package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/wneessen/go-mail"

	"github.com/penstock-mail/penstock/bench/senders/letters"
)

func main() { letters.Main("wneessen/go-mail", open) }

// open is one connection.
func open(j *letters.Job) (letters.Connection, error) {
	host, port, err := net.SplitHostPort(j.Sink)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	options := []mail.Option{mail.WithPort(number), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("bench.sender.test"), mail.WithoutNoop(), mail.WithoutRset()}
	if j.Key != nil {
		signer := mail.NewDKIMSigner(letters.Domain, letters.Selector, j.Key)
		signer.HeaderCanonicalization(mail.CanonicalizationRelaxed)
		signer.BodyCanonicalization(mail.CanonicalizationRelaxed)
		signer.SignHeaders("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding")
		signer.OversignHeaders("From", "Subject")
		options = append(options, mail.WithAlwaysDKIMSign(signer))
	}
	c, err := mail.NewClient(host, options...)
	if err != nil {
		return nil, err
	}
	if err := c.DialWithContext(context.Background()); err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &connection{job: j, client: c}, nil
}

type connection struct {
	job    *letters.Job
	client *mail.Client
	body   []byte
}

// Send sends the n-th letter.
func (c *connection) Send(n int) error {
	m := mail.NewMsg(mail.WithEncoding(mail.NoEncoding), mail.WithNoDefaultUserAgent())
	if err := m.FromFormat("Bench", letters.Sender); err != nil {
		return err
	}
	if err := m.To(c.job.Letters.People[n].Address); err != nil {
		return err
	}
	m.Subject(c.job.Letters.Subject(n))
	m.SetGenHeader("X-Row", c.job.Letters.Row(n))
	m.SetDate()
	m.SetMessageID()
	c.body = c.job.Letters.AppendBody(c.body[:0], n)
	m.SetBodyString(mail.TypeTextHTML, string(c.body))
	return c.client.Send(m)
}

// Close ends the session.
func (c *connection) Close() error { return c.client.Close() }
