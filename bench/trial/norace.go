//go:build !race

package trial

const raceEnabled = false

// Slower is how many times as long everything takes in this build.
const Slower = 1
