//go:build unix

package gpu

import (
	"syscall"
	"time"
)

// processorTime is how long all threads of this process have had a core.
func processorTime() (time.Duration, bool) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0, false
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), true
}
