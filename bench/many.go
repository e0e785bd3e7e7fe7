package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// many is the command line of a Penstock that sends several campaigns side by
// side; words is the one for one.
func many(p *Program, words, campaigns []string, c *Command) ([]string, error) {
	if len(words) < 2 || words[1] != "send" {
		return nil, fmt.Errorf("%s cannot send several campaigns", p.Name)
	}
	return slices.Concat([]string{words[0], "serve"}, campaigns, []string{"--config", c.Config, "--data", c.Data, "--quiet"}), nil
}

// finishedEvery is how often a server is asked how its campaigns stand.
const finishedEvery = 500 * time.Millisecond

// stopWhenFinished ends a serving process, c, once all of its campaigns are sent:
// it does not end by itself. It returns then, or when ctx ends.
func stopWhenFinished(ctx context.Context, c *exec.Cmd, campaigns int, data string) {
	again := time.NewTicker(finishedEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		text, err := exec.CommandContext(ctx, c.Path, "campaign", "list", "--state", "finished", "--data", data, "--format", "json").Output()
		if err != nil {
			continue // it does not listen yet
		}
		var answer struct {
			Campaigns []struct{} `json:"campaigns"`
		}
		if err := json.Unmarshal(text, &answer); err == nil && len(answer.Campaigns) == campaigns {
			_ = c.Process.Signal(syscall.SIGTERM) // should it have ended, that is told by Wait
			return
		}
	}
}
