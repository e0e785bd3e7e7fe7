package dkim_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/compose/dkim/verify"
)

// Two messages of a campaign, signed as one batch.
func Example() {
	g, err := dkim.Generate("acme.example", "s2026", dkim.RSA2048)
	if err != nil {
		log.Fatal(err)
	}
	set, err := dkim.NewSet(dkim.Signature{Domain: "acme.example", Selector: "s2026", Key: g.Key})
	if err != nil {
		log.Fatal(err)
	}

	// Once per campaign: the body's fixed text.
	body := dkim.NewBodyHash()
	greeting, rest := dkim.Prepare([]byte("Dear ")), dkim.Prepare([]byte(",\r\n\r\nspring is here.\r\n"))
	body.WriteFixed(greeting)
	start := body.Snapshot()

	// Once per process: the batcher. A caller with batches of its own can do
	// with an rsa8.Signer.
	batcher, err := rsa8.NewBatcher(rsa8.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer batcher.Close()

	names := []string{"Ann", "Bob"}
	var headers []string
	var batch []*dkim.Pending
	for _, name := range names {
		body.Restore(start)
		body.Write([]byte(name))
		body.WriteFixed(rest)
		header := "From: news@acme.example\r\nTo: " + name + "@example.org\r\nSubject: Spring\r\n"
		p := new(dkim.Pending)
		if err := set.Prepare(p, []byte(header), body.Sum(), time.Now()); err != nil {
			log.Fatal(err)
		}
		headers, batch = append(headers, header), append(batch, p)
	}
	if err := set.Sign(context.Background(), batcher, batch); err != nil {
		log.Fatal(err)
	}
	for i, p := range batch {
		message, err := p.AppendTo(nil)
		if err != nil {
			log.Fatal(err)
		}
		message = append(message, headers[i]+"\r\nDear "+names[i]+",\r\n\r\nspring is here.\r\n"...)
		results, err := verify.Message(strings.NewReader(string(message)), func(string) ([]string, error) {
			return []string{g.Record}, nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(results[0].Domain, results[0].Err)
	}
	// Output:
	// acme.example <nil>
	// acme.example <nil>
}
