package data

import (
	"runtime/debug"
	"testing"
)

// The collector's usual pace comes back after the last of the calls that overlap, a pace that
// is faster already stays, and so does none.
func TestLean(t *testing.T) {
	pace := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	old := pace()
	defer debug.SetGCPercent(old)
	for _, c := range [][2]int{{100, leanPercent}, {leanPercent / 2, leanPercent / 2}, {-1, -1}} {
		debug.SetGCPercent(c[0])
		first := lean()
		second := lean()
		first()
		if got := pace(); got != c[1] {
			t.Errorf("of %d: %d while one of two calls goes on, want %d", c[0], got, c[1])
		}
		if second(); pace() != c[0] {
			t.Errorf("of %d: %d afterwards", c[0], pace())
		}
	}
}
