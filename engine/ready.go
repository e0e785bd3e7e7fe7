package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrHolding is why an engine is not ready that neither drains nor sends.
var ErrHolding = errors.New("nothing new begins: there is too little free space, or the ledger has failed; the log says which")

// Ready says why the engine does not send: ErrDraining, ErrHolding, or that no
// resolver answers; nil when it does. The resolvers are asked at most every few
// seconds, whoever calls. Any goroutine; it waits for them, for two seconds at
// most.
func (e *Engine) Ready(ctx context.Context) error {
	switch {
	case e.ctx.Err() != nil:
		return ErrDraining
	case e.held():
		return ErrHolding
	}
	if _, all := e.config.Routes["*"]; all {
		return nil // DNS is never asked
	}
	return e.names.check(ctx, e.resolver.Answers)
}

const (
	// namesAge is how long an answer about the resolvers is taken for true.
	namesAge = 5 * time.Second
	// namesPatience is how long they have for it.
	namesPatience = 2 * time.Second
)

// names remembers whether the resolvers answered.
type names struct {
	turn sync.Mutex // held while they are asked, so that one asks for all
	at   time.Time  // guarded by turn
	err  error      // guarded by turn
}

func (n *names) check(ctx context.Context, ask func(context.Context) error) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	if time.Since(n.at) < namesAge {
		return n.err
	}
	// A caller that goes away must not make it look as if they were silent.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), namesPatience, errors.New("no answer in time"))
	defer cancel()
	n.err = ask(ctx)
	if n.err != nil {
		n.err = fmt.Errorf("no resolver answers: %w", n.err)
	}
	n.at = time.Now()
	return n.err
}
