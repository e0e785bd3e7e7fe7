// Package config reads penstock.yaml and the command-line flags that stand for
// its settings.
//
// [Load] gives a complete [Config]: every default filled in, every value
// checked, all mistakes reported at once with file, line and field, unknown
// keys among them. It knows where each value came from ([Config.Effective]).
//
// The package uses plain types and knows no other room: the engine translates.
// A Config is never changed after Load and safe for concurrent reading.
package config
