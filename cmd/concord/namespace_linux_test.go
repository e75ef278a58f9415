package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Two machines in network namespaces of their own, with a link of 100 Mbit/s
// between them: what is true over loopback is true over an interface. Where the
// system does not let a test make namespaces it is skipped, with the reason, but
// REQUIRE_NETNS=1 (set by CI where they work) makes that a failure.
func TestNamespaces(t *testing.T) {
	ns, host, peer := fmt.Sprintf("concord%d", os.Getpid()), fmt.Sprintf("cc%dh", os.Getpid()%10000), fmt.Sprintf("cc%dp", os.Getpid()%10000)
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	t.Cleanup(func() { ip("link", "del", host); ip("netns", "del", ns) })
	for _, args := range [][]string{{"netns", "add", ns}, {"link", "add", host, "type", "veth", "peer", "name", peer},
		{"link", "set", peer, "netns", ns},
		{"addr", "add", "10.77.0.1/24", "dev", host}, {"link", "set", host, "up"},
		{"netns", "exec", ns, "ip", "addr", "add", "10.77.0.2/24", "dev", peer}, {"netns", "exec", ns, "ip", "link", "set", peer, "up"}} {
		if err := ip(args...); err != nil {
			if os.Getenv("REQUIRE_NETNS") != "" {
				t.Fatal(err)
			}
			t.Skipf("no network namespaces here: %v", err)
		}
	}
	if out, err := exec.Command("tc", "qdisc", "add", "dev", host, "root", "tbf", "rate", "100mbit", "burst", "64kb", "latency",
		"50ms").CombinedOutput(); err != nil {
		t.Logf("no rate limit here: %v: %s", err, out)
	}
	run := clusterRun(t, 20)
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	m.first = start(t, "train", run, "--listen", "10.77.0.1:4433", "--workers", "2", "-o", "cluster.deadline=false")
	m.line = m.awaitLine()
	w := program(t, "worker", "--join", m.line, "--name", "far", "--dir", filepath.Join(t.TempDir(), "far"))
	inside := exec.Command("ip", append([]string{"netns", "exec", ns}, w.Args...)...)
	inside.Env = w.Env
	out := &strings.Builder{}
	inside.Stdout, inside.Stderr = out, out
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	m.finish()
	if err := inside.Wait(); err != nil {
		t.Errorf("the worker: %v\n%s", err, out)
	}
	s := m.status()
	if len(s.Members) != 2 || s.Members[1].Rows == 0 || s.Members[1].Groups+s.Members[1].Slices == 0 ||
		!strings.HasPrefix(s.Members[1].Addr, "10.77.0.2:") {
		t.Errorf("%+v", s.Members)
	}
}
