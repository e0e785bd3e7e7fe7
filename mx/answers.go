package mx

import (
	"context"

	"github.com/miekg/dns"
)

// Answers asks the servers for the root's name servers and says why none of
// them answered, nil when one did: whether DNS works at all. It waits until ctx
// ends at most. Any goroutine.
func (r *Resolver) Answers(ctx context.Context) error {
	_, err := r.exchange(ctx, ".", dns.TypeNS)
	return err
}
