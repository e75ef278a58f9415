package main

import (
	"bytes"
	"maps"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"concord/internal/step"
)

// tracer ends a program by SIGKILL at the n-th call of certain functions, as a debugger would: the
// program knows nothing of it. It is the same binary as the test, so that addresses are
// found in the test's own memory.
type tracer struct {
	*exec.Cmd
	lines, stderr chan string
	breaks        map[uint64]byte // what was there, by address
	hits          map[uint64]int
	die           int    // the hit at which the program ends, 0 none
	before        func() // called at that instant, while the program stands still
	code          int    // its exit code, −1 when it was killed
	done          chan struct{}
	err           error
}

// updates are the calls of an update in the backward pass: before each group is applied, and
// at its end.
var updates = []string{"concord/internal/step.(*inBackward).Group", "concord/internal/step.(*inBackward).finish"}

// entries finds functions by name, among those of package step.
func entries(t *testing.T, names ...string) (out []uint64) {
	t.Helper()
	at := map[string]uintptr{}
	near := reflect.ValueOf(step.New).Pointer()
	for pc := near - 1<<20; pc < near+1<<20; pc += 8 {
		if f := runtime.FuncForPC(pc); f != nil && slices.Contains(names, f.Name()) {
			at[f.Name()] = f.Entry()
		}
	}
	if len(at) < len(names) {
		t.Fatalf("of the functions %q only %v are in the binary", names, slices.Collect(maps.Keys(at)))
	}
	for _, name := range names {
		out = append(out, uint64(at[name]))
	}
	return out
}

// traced starts the program; at hit die of the functions at breaks it calls before and ends it.
func traced(t *testing.T, breaks []uint64, die int, before func(), args ...string) *tracer {
	t.Helper()
	x := &tracer{Cmd: program(t, args...), breaks: map[uint64]byte{}, hits: map[uint64]int{}, die: die, before: before, code: -1,
		done: make(chan struct{})}
	x.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	// A signal that preempts a goroutine within a function's first instructions has it enter the function anew.
	x.Env = append(x.Env, "GODEBUG=asyncpreemptoff=1")
	out, err := x.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := x.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // a debugger is one thread, which ends with this goroutine
		defer close(x.done)
		err := x.Start()
		started <- err
		if err == nil {
			x.err = x.follow(breaks)
			syscall.Kill(-x.Process.Pid, syscall.SIGKILL)
			x.drain()
		}
	}()
	if err := <-started; err != nil {
		t.Skipf("no program can be traced here: %v", err)
	}
	x.lines, x.stderr = scan(out, nil), scan(errs, nil)
	t.Cleanup(func() { syscall.Kill(-x.Process.Pid, syscall.SIGKILL) })
	return x
}

// wait waits for the end of the program.
func (x *tracer) wait(t *testing.T) (said string) {
	t.Helper()
	for range x.lines {
	}
	for line := range x.stderr {
		said += line + "\n"
	}
	if <-x.done; x.err != nil {
		t.Fatalf("tracing: %v", x.err)
	}
	return said
}

func (x *tracer) follow(breaks []uint64) error {
	pid, status := x.Process.Pid, syscall.WaitStatus(0)
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil { // it stands at its first instruction
		return err
	}
	const exitKill = 1 << 20 // PTRACE_O_EXITKILL: it does not outlive the test
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACECLONE|exitKill); err != nil {
		return err
	}
	for _, at := range breaks {
		was := make([]byte, 1)
		if _, err := syscall.PtracePeekText(pid, uintptr(at), was); err != nil {
			return err
		}
		x.breaks[at] = was[0]
		if err := x.poke(pid, at, 0xcc); err != nil { // INT3
			return err
		}
	}
	known, tid, sig := map[int]bool{pid: true}, pid, syscall.Signal(0)
	for {
		if err := syscall.PtraceCont(tid, int(sig)); err != nil && err != syscall.ESRCH {
			return err
		}
		var err error
		if tid, err = syscall.Wait4(-pid, &status, syscall.WALL, nil); err != nil {
			return err
		}
		for status.Exited() || status.Signaled() {
			if tid == pid {
				if status.Exited() {
					x.code = status.ExitStatus()
				}
				return nil
			}
			if tid, err = syscall.Wait4(-pid, &status, syscall.WALL, nil); err != nil {
				return err
			}
		}
		sig = status.StopSignal()
		if first := !known[tid]; first && sig == syscall.SIGSTOP { // a new thread
			sig = 0
		}
		if known[tid] = true; sig == syscall.SIGTRAP {
			var end bool
			if end, sig, err = x.trap(tid); end || err != nil {
				return err
			}
		}
	}
}

// trap handles a stop of a thread. It goes on with the signal that it returns.
func (x *tracer) trap(tid int) (end bool, sig syscall.Signal, err error) {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return false, 0, err
	}
	at := regs.Rip - 1
	if _, ok := x.breaks[at]; !ok {
		return false, 0, nil
	}
	regs.Rip = at
	if err := syscall.PtraceSetRegs(tid, &regs); err != nil {
		return false, 0, err
	}
	if err := x.poke(tid, at, x.breaks[at]); err != nil {
		return false, 0, err
	}
	left, next, err := x.prologue(tid, at)
	if err != nil {
		return false, 0, err
	}
	if sig, err = stepOver(tid, left, &regs); err != nil {
		return false, 0, err
	}
	if next == 0 || regs.Rip == next { // else the function will be entered again
		x.hits[at]++
		n := 0
		for _, k := range x.hits {
			n += k
		}
		if n == x.die {
			x.before()
			return true, 0, nil
		}
	}
	return false, sig, x.poke(tid, at, 0xcc)
}

// stepOver has a thread go on by so many instructions, after which its registers are regs. Signals
// wait; the last one is returned.
func stepOver(tid, instructions int, regs *syscall.PtraceRegs) (sig syscall.Signal, err error) {
	for instructions > 0 {
		before := regs.Rip
		if err := syscall.PtraceSingleStep(tid); err != nil {
			return 0, err
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(tid, &status, syscall.WALL, nil); err != nil {
			return 0, err
		}
		if s := status.StopSignal(); s != syscall.SIGTRAP {
			sig = s
		}
		if err := syscall.PtraceGetRegs(tid, regs); err != nil {
			return 0, err
		}
		if regs.Rip != before {
			instructions--
		}
	}
	return sig, nil
}

// prologue is how many instructions the function at this address begins with that look whether the
// goroutine's stack is large enough, and the address after them, 0 if there is no such look. Elsewhere
// the runtime grows the stack, or lets others run, and begins the function anew: it is one call.
func (x *tracer) prologue(tid int, at uint64) (instructions int, next uint64, err error) {
	code := make([]byte, 24)
	if _, err := syscall.PtracePeekText(tid, uintptr(at), code); err != nil {
		return 0, 0, err
	}
	n := 0
	switch {
	case bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0x64, 0x24}): // LEAQ disp8(SP), R12
		n, instructions = 5, 1
	case bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0xa4, 0x24}): // LEAQ disp32(SP), R12
		n, instructions = 8, 1
	}
	if !bytes.HasPrefix(code[n+1:], []byte{0x3b, 0x66, 0x10}) { // CMPQ SP or R12, 16(R14)
		return 1, 0, nil
	}
	if n += 4; code[n] == 0x76 { // JLS near
		n += 2
	} else { // far
		n += 6
	}
	return instructions + 2, at + uint64(n), nil
}

func (x *tracer) poke(tid int, at uint64, b byte) error {
	_, err := syscall.PtracePokeText(tid, uintptr(at), []byte{b})
	return err
}

// drain takes the ends of all threads, so that nothing of the program is left.
func (x *tracer) drain() {
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(-x.Process.Pid, &status, syscall.WALL, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}
