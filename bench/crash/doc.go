// Package crash has no code of its own: its tests kill penstock again and again
// while it loads and sends a campaign, and prove afterwards that nobody was lost
// and nobody was sent to twice without the ledger knowing it.
//
// The tests run a small version; `make crash` the one with 100 kills over
// 200,000 recipients. A seed that failed is repeated with PENSTOCK_SEED.
package crash
