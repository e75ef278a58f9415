package main

import (
	"os"
	"syscall"
)

// moreTerminating: a failing power supply, and input that nobody asked for.
var moreTerminating = []os.Signal{syscall.SIGPWR, syscall.SIGIO}
