//go:build !windows

package main

import (
	"os/signal"
	"syscall"
)

// terminate is what schedulers send before they kill.
const terminate = syscall.SIGTERM

// outlivePipes makes writing to a closed pipe an error instead of the end of
// the program: Ctrl-C ends the "tee" behind a run first, and the run must still
// finish its step and save.
func outlivePipes() { signal.Ignore(syscall.SIGPIPE) }
