package smtp

import "testing"

func TestConfigBounds(t *testing.T) {
	t.Parallel()
	for in, want := range map[int]int{-1: DefaultWindow, 0: DefaultWindow, 1: 1, MaxWindow: MaxWindow, MaxWindow + 1: MaxWindow} {
		if got := (&Config{Window: in}).window(); got != want {
			t.Errorf("window %d becomes %d, want %d", in, got, want)
		}
	}
	for name, want := range map[string]bool{"mx.example": true, "[192.0.2.1]": true, "": false, "a b": false, "a\r\nb": false, "é": false, "a\x7f": false} {
		if helloOK(name) != want {
			t.Errorf("EHLO name %q: want %v", name, want)
		}
	}
}
