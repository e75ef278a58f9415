package data

import (
	"runtime/debug"
	"sync"
)

// leanPercent is how much garbage, in percent of the memory in use, may lie about while long
// lists are made.
const leanPercent = 20

var leanness struct {
	sync.Mutex
	users, before int
}

// lean has the garbage collector run more often until the function that it returns is called:
// with the usual pace the lists of a large data set would take up to twice their size.
// They hold no pointers, so the collector is done with them at once. Calls may nest and overlap.
func lean() (usual func()) {
	leanness.Lock()
	defer leanness.Unlock()
	if leanness.users++; leanness.users == 1 {
		leanness.before = debug.SetGCPercent(leanPercent)
		if leanness.before < leanPercent { // or off, −1
			debug.SetGCPercent(leanness.before)
		}
	}
	return func() {
		leanness.Lock()
		defer leanness.Unlock()
		if leanness.users--; leanness.users == 0 {
			debug.SetGCPercent(leanness.before)
		}
	}
}
