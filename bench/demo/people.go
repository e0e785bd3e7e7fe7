package demo

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var (
	firstNames = []string{"Ada", "Björn", "Chloé", "Dmitri", "Emeka", "Fatima", "Grace", "Hiro", "Inés", "Jana", "Kofi", "Lena", "Mehmet", "Nora", "Olga", ""}
	cities     = []string{"Lisbon", "Zürich", "Nairobi", "Kraków", "Osaka", "Quito", "Oslo", "Perth"}
	seasons    = []string{"spring", "summer", "autumn", "winter"}
)

// faults are rows that a real list has too: they are not loaded, and listed.
var faults = []string{
	"not an address,x1,Nemo,Nowhere,spring,1,0\n",
	"two@@signs.test,x2,Nemo,Nowhere,spring,1,0\n",
	"p1@birch.test,x3,Twice,Lisbon,spring,1,0\n",
	",x4,Empty,Oslo,winter,1,0\n",
	"space in@larch.test,x5,Nemo,Quito,summer,1,0\n",
	"short@larch.test,x6\n",
}

// everySuppressed is how many recipients there are for one that never.txt names.
const everySuppressed = 500

// writePeople writes the recipients, the domains well mixed, and the list of
// those who are never written to. The same every time.
func writePeople(dir string, sites []Site) (err error) {
	var domains []string
	for _, s := range sites {
		for n := range s.Recipients {
			domains = append(domains, s.Domains[n%len(s.Domains)])
		}
	}
	rng := rand.New(rand.NewPCG(2026, 2))
	rng.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	// The first row and its double are what the faulty rows count on.
	for i, d := range domains {
		if d == "birch.test" {
			domains[0], domains[i] = d, domains[0]
			break
		}
	}

	people, err := os.Create(filepath.Join(dir, "people.csv"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, people.Close()) }()
	never, err := os.Create(filepath.Join(dir, "never.txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, never.Close()) }()
	w, no := bufio.NewWriter(people), bufio.NewWriter(never)
	fmt.Fprintln(no, "# Addresses and domains that are never written to.")
	fmt.Fprintln(w, "email,id,first_name,city,season,litres,visits")
	for i, d := range domains {
		n := i + 1
		address := "p" + strconv.Itoa(n) + "@" + d
		fmt.Fprintf(w, "%s,%d,%s,%s,%s,%d,%d\n", address, n, firstNames[rng.IntN(len(firstNames))],
			cities[rng.IntN(len(cities))], seasons[rng.IntN(len(seasons))], 10+rng.IntN(990), rng.IntN(8))
		if n%everySuppressed == 0 {
			fmt.Fprintln(no, address)
		}
		if every := max(1, len(domains)/(len(faults)+1)); n%every == 0 && n/every <= len(faults) {
			if _, err := w.WriteString(faults[n/every-1]); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush(), no.Flush())
}

// Greylisted is a recipient whose first try is deferred, to show its history.
func Greylisted(dir string) (string, error) {
	file, err := os.Open(filepath.Join(dir, "people.csv"))
	if err != nil {
		return "", err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if address, _, _ := strings.Cut(lines.Text(), ","); strings.HasSuffix(address, "@grey.test") {
			return address, nil
		}
	}
	return "", errors.New("no recipient is greylisted")
}
