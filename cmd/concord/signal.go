package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// interruptible returns a context that the first signal to end cancels: Ctrl-C, a
// closed terminal, a scheduler's warning. stopping is then said: the next work of
// the verb. A second Ctrl-C leaves at once; of a run the last checkpoint is whole
// because saving is a rename. Other signals may come in pairs (a closed terminal's
// do, and systemd's) and change nothing any more.
func interruptible(stopping string) (context.Context, func()) {
	outlivePipes()
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, terminating()...)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		fmt.Fprintf(os.Stderr, "\nconcord: %s; press Ctrl-C again to leave at once\n", stopping)
		cancel()
		for s := range signals {
			if s == os.Interrupt {
				os.Exit(exitInterrupted)
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); close(signals); cancel() }
}

// The words of verbs at the first signal.
const (
	stoppingRun    = "finishing the step and saving"
	stoppingWorker = "leaving the run; the other machines go on without this one"
	stoppingAttach = "leaving; the run goes on"
	stoppingEval   = "stopping after this batch; nothing is changed"
)
