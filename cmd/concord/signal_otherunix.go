//go:build unix && !linux

package main

import "os"

var moreTerminating []os.Signal
