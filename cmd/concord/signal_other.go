//go:build !windows

package main

import "syscall"

// terminate is what schedulers send before they kill.
const terminate = syscall.SIGTERM
