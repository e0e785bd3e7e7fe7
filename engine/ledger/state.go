package ledger

import "slices"

// stateNames are the words of the design, used in every report and export.
var stateNames = [NumStates]string{"pending", "delivered", "deferred", "bounced", "expired", "suppressed", "cancelled", "uncertain"}

// String is the state's word, such as "bounced".
func (s State) String() string {
	if int(s) < NumStates {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState is the reverse of String.
func ParseState(name string) (s State, ok bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0
}

// StateNames are all words that ParseState knows.
func StateNames() []string { return slices.Clone(stateNames[:]) }
