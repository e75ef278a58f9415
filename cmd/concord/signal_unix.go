//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// terminating are the signals that would end the program and can be caught: Ctrl-C;
// a scheduler's (SIGTERM, and those that batch systems send ahead of a limit: SIGUSR1,
// SIGUSR2, SIGXCPU); timers'; and a closed terminal's, unless it is ignored as nohup
// asks. SIGQUIT stays Go's: it prints the stacks of all goroutines.
func terminating() []os.Signal {
	out := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGXCPU, syscall.SIGALRM, syscall.SIGVTALRM}
	if !signal.Ignored(syscall.SIGHUP) {
		out = append(out, syscall.SIGHUP)
	}
	return append(out, moreTerminating...)
}

// outlivePipes makes writing to a closed pipe, or beyond a limit on a file's size,
// an error instead of the end of the program: Ctrl-C ends the "tee" that reads a
// run's lines first, and the run must still finish its step and save.
func outlivePipes() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
