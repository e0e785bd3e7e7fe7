package campaign_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/penstock-mail/penstock/engine/campaign"
)

func ExampleOpen() {
	c := &campaign.Campaign{AddressField: "email", Recipients: []campaign.File{{Name: campaign.Stdin}}}
	rows, err := campaign.Open(c, strings.NewReader("email,name\nann@example.com,Ann\nbob,Bob\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rows.Close()
	for {
		row, reject, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Println(rows.Rows(), "rows of", rows.Columns())
			return
		case err != nil:
			fmt.Println(err)
			return
		case reject != nil:
			fmt.Printf("%s:%d: %s %s\n", reject.File, reject.Line, reject.Address, reject.Detail)
		default:
			fmt.Printf("%d: %s at %s\n", row.Seq, row.Local, row.Domain)
		}
	}
	// Output:
	// 1: ann at example.com
	// -:3: bob has no @
	// 2 rows of [email name]
}
