package address_test

import (
	"fmt"

	"github.com/penstock-mail/penstock/engine/address"
)

func ExampleParse() {
	fmt.Println(address.Parse(" Jörg@Bücher.Example "))
	_, _, err := address.Parse("Bob <bob@example.com>")
	fmt.Println(err)
	// Output:
	// Jörg xn--bcher-kva.example <nil>
	// has a name or angle brackets: only the bare address belongs here
}
