package sink_test

import (
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"

	"github.com/penstock-mail/penstock/bench/sink"
)

func Example() {
	script, err := sink.ParseScript("example", []byte(`
servers: [{without: STARTTLS}]
rules:
  - {at: rcpt, to: "gone@*", reply: "550 5.1.1 No such user"}
`))
	if err != nil {
		panic(err)
	}
	s, err := sink.Start(sink.Options{Script: script, Accept: func(m *sink.Message) {
		fmt.Printf("%s -> %s: %q\n", m.From, m.To, m.Content)
	}})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	for _, to := range []string{"here@example.test", "gone@example.test"} {
		if err := smtp.SendMail(s.Addrs()[0], nil, "me@sender.test", []string{to}, []byte("hello\r\n")); err != nil {
			var refused *textproto.Error
			fmt.Println(errors.As(err, &refused), refused.Code)
		}
	}
	// Output:
	// me@sender.test -> [here@example.test]: "hello\r\n"
	// true 550
}
