//go:build race

package compose

func init() { raceDetector = true }
