package main

import "os"

// terminate: Windows knows only Ctrl-C and Ctrl-Break, both os.Interrupt.
var terminate = os.Interrupt

// outlivePipes: a closed pipe is an error on Windows as it is.
func outlivePipes() {}
