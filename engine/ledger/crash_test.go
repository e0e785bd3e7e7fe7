package ledger

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashes clones a disk, as if power went, before each thing that is done to it
// while it watches. So the moments are those that differ, and their number does
// not depend on how fast the machine is. It is an errorfs.Injector around disk.
type crashes struct {
	disk *vfs.MemFS

	mu       sync.Mutex
	watching bool         // guarded by mu
	clones   []*vfs.MemFS // guarded by mu
}

func newCrashes(disk *vfs.MemFS) *crashes { return &crashes{disk: disk} }

func (c *crashes) String() string { return "crashes" }

func (c *crashes) MaybeError(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watching && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		c.take(len(c.clones) % 3 * 50)
	}
	return nil
}

func (c *crashes) take(unsynced int) {
	c.clones = append(c.clones, c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRand(uint64(len(c.clones)))}))
}

func (c *crashes) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching = true
}

// end gives the clones, the last one of now with nothing that was not synced.
func (c *crashes) end() []*vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching = false
	c.take(0)
	return c.clones
}
