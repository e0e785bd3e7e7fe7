package config

import _ "embed"

// Example is a penstock.yaml with every setting, its default and what it means.
//
//go:embed penstock.yaml
var Example []byte
