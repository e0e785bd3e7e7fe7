//go:build race

package trial

const raceEnabled = true

// Slower is how many times as long everything takes in this build.
const Slower = 4
