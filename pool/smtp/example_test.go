package smtp_test

import (
	"bytes"
	"fmt"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// An owner's loop, with a server that is only a list of answers.
func ExampleSession() {
	answers := []string{
		"220 mx.example ESMTP\r\n",
		"250-mx.example\r\n250 PIPELINING\r\n",
		"250 ok\r\n550 5.1.1 no such user\r\n554 5.5.1 no valid recipients\r\n",
		"221 bye\r\n",
	}
	s := smtp.New(smtp.Config{Hello: "client.example"})
	queue := []*smtp.Message{{From: "news@a.example", To: "ann@b.example", Content: [][]byte{[]byte("Hi\r\n")}}}

	for _, answer := range answers {
		s.Feed([]byte(answer))
		for _, e := range s.Events(nil) {
			switch e.Kind {
			case smtp.Settled:
				fmt.Println(e.Message.To, e.Outcome.Fate, "at", e.Outcome.Command, "by", e.Outcome.Reply)
				s.Quit()
			case smtp.Closed:
				fmt.Println("closed")
			}
		}
		for s.Room() > 0 && len(queue) > 0 {
			s.Send(queue[0])
			queue = queue[1:]
		}
		fmt.Printf("%s", bytes.ReplaceAll(bytes.Join(s.Output(nil), nil), []byte("\r"), nil))
		s.Written()
	}
	// Output:
	// EHLO client.example
	// MAIL FROM:<news@a.example>
	// RCPT TO:<ann@b.example>
	// DATA
	// ann@b.example refused at RCPT by 550 5.1.1 no such user
	// QUIT
	// closed
}
