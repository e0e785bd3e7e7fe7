//go:build !linux

package trial

import "syscall"

// dieWithParent: only Linux can do that; elsewhere a test that is killed leaves
// its children.
func dieWithParent() *syscall.SysProcAttr { return nil }
