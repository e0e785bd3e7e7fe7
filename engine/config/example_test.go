package config_test

import (
	"fmt"

	"github.com/penstock-mail/penstock/engine/config"
)

func ExampleParse() {
	c, problems := config.Parse("penstock.yaml", []byte(`
hostname: mail.example.com
limits:
  default: {message_rate: 100/s, conections: 5}
`), config.Flag{Name: "--data", Key: "data", Values: []string{"/var/lib/penstock"}})
	fmt.Println(problems)
	for _, e := range c.Effective()[:3] {
		fmt.Println(e.Key, e.Value, e.Origin)
	}
	// Output:
	// penstock.yaml:4:34: limits.default.conections: is not a known key; did you mean "connections"?
	// hostname mail.example.com penstock.yaml:2
	// data /var/lib/penstock --data
	// dns.servers (the system's) default
}
