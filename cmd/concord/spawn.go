package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"concord/internal/train"
)

// joinVariable hands the join line to workers on this machine: a command line
// can be read by every user of it.
const joinVariable = "CONCORD_JOIN"

// spawnPatience is how long spawned workers may take to leave after the run.
const spawnPatience = 10 * time.Second

// spawn has ui start the workers on this machine once there is a join line. The
// function that it returns waits for them to leave.
func (l leading) spawn(ui *train.UI, overrides []string) (wait func()) {
	var mu sync.Mutex
	var running []*exec.Cmd
	var wg sync.WaitGroup
	if l.Spawn > 0 {
		ui.Joined = func(line string) {
			mu.Lock()
			defer mu.Unlock()
			for i := range l.Spawn {
				c, err := startWorker(fmt.Sprintf("worker-%d", i+2), line, overrides, ui.Warn, &wg)
				if err != nil {
					fmt.Fprintf(ui.Warn, "concord: cannot start a worker: %v\n", err)
					continue
				}
				running = append(running, c)
			}
		}
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(spawnPatience):
			for _, c := range running {
				c.Process.Kill()
			}
			<-done
		}
	}
}

// startWorker starts one worker process of this program, whose words appear with
// its name.
func startWorker(name, line string, overrides []string, out io.Writer, wg *sync.WaitGroup) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"worker", "--name", name}
	for _, o := range overrides {
		if strings.HasPrefix(strings.TrimSpace(o), "device.") {
			args = append(args, "-o", o)
		}
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), joinVariable+"="+line)
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		return nil, err
	}
	wg.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			fmt.Fprintf(out, "%s: %s\n", name, strings.TrimSpace(strings.TrimPrefix(lines.Text(), "concord:")))
		}
	})
	wg.Go(func() { c.Wait(); w.Close() })
	return c, nil
}
