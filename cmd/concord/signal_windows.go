package main

import (
	"os"
	"syscall"
)

// terminating are Ctrl-C and Ctrl-Break, which Go makes os.Interrupt, and a closed
// window, a log-off and a shutdown, which it makes SIGTERM: Windows then waits some
// seconds for the program to end.
func terminating() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// outlivePipes: a closed pipe is an error on Windows as it is.
func outlivePipes() {}
