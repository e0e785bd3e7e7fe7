package access

import (
	"fmt"
	"strings"
)

// Role is what a caller may do; each includes the ones before it. Closed set.
type Role uint8

const (
	// RoleUnset is nobody's; it may do nothing.
	RoleUnset Role = iota
	// Read sees everything: campaigns, recipients, sites, events.
	Read
	// Operate also steers: starts, pauses, limits, cancels.
	Operate
	// Admin also rules the process: backups, reload, drain, tokens, the audit log.
	Admin
)

var roleNames = [...]string{"none", "read", "operate", "admin"}

// String is the role's word.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Roles are the words that ParseRole takes.
func Roles() []string { return append([]string{}, roleNames[Read:]...) }

// ParseRole reads a role's word, exactly as String writes it.
func ParseRole(word string) (Role, error) {
	for r := Read; r <= Admin; r++ {
		if word == roleNames[r] {
			return r, nil
		}
	}
	return RoleUnset, fmt.Errorf("role %q is none of %s", word, strings.Join(Roles(), ", "))
}

// Allows reports that a caller with role r may do what takes role needed.
func (r Role) Allows(needed Role) bool { return needed != RoleUnset && r >= needed && r <= Admin }
