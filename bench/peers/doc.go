// Package peers has no code of its own: its tests run penstock against servers,
// resolvers and machines that misbehave, and look at what it made of every
// recipient, its exit code, and the ledger's proof. Beside each bad site there
// is a good one, which must never suffer.
package peers
