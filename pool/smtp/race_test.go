//go:build race

package smtp

const raceDetector = true
