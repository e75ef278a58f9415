package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/transport"
)

// homes are machines in network namespaces, each behind a router of its own but the first.
type homes struct {
	t      *testing.T
	id     string // of the namespaces
	rate   string // of every machine's link, as tc has it; "": no bound
	exe    string
	dir    string
	uplink map[int]uint64 // bytes at the start
	down   map[int]uint64 // likewise
}

// do runs a command, which must work.
func (s *homes) do(command string) string {
	s.t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// made counts networks, for their names.
var made atomic.Int32

// without ends a test that needs network namespaces: it is skipped, but REQUIRE_NETNS=1 (set by
// CI where they work) makes that a failure.
func without(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("REQUIRE_NETNS") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// netns makes n homes. nat are the iptables rules of a router, with %[1]s for its inner
// machine and %[2]s for its outer address.
func netns(t *testing.T, n int, rate string, nat func(home int) string) *homes {
	t.Helper()
	if os.Geteuid() != 0 {
		without(t, "namespaces need root")
	}
	for _, tool := range []string{"ip", "iptables", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			without(t, "%s is missing (Debian: iproute2, iptables)", tool)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &homes{t: t, id: fmt.Sprintf("cc%x%c", os.Getpid()&0xffff, 'g'+made.Add(1)%20), rate: rate, exe: exe, dir: t.TempDir(),
		uplink: map[int]uint64{}, down: map[int]uint64{}}
	if out, err := exec.Command("ip", "netns", "add", s.id+"net").CombinedOutput(); err != nil {
		without(t, "no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		exec.Command("sh", "-c", "for n in $(ip netns list | cut -d' ' -f1 | grep ^"+s.id+"); do ip netns del $n; done").Run()
	})
	if out, err := exec.Command("ip", "netns", "exec", s.id+"net", "iptables", "-t", "nat", "-L").CombinedOutput(); err != nil {
		without(t, "no NAT in namespaces here: %v: %s", err, out)
	}
	s.do("ip -n " + s.id + "net link add br0 type bridge && ip -n " + s.id + "net link set br0 up")
	s.attach(1, "h1", "203.0.113.1/24")
	for i := 2; i <= n; i++ {
		r := fmt.Sprint("r", i)
		s.attach(i, r, fmt.Sprintf("203.0.113.%d/24", i))
		s.do(strings.NewReplacer("{}", s.id, "#", strconv.Itoa(i)).Replace(`ip netns add {}h#
			ip link add {}a# netns {}r# type veth peer name wan netns {}h#
			ip -n {}r# link set {}a# name lan && ip -n {}r# addr add 192.168.#.1/24 dev lan && ip -n {}r# link set lan up
			ip -n {}h# addr add 192.168.#.2/24 dev wan && ip -n {}h# link set wan up && ip -n {}h# link set lo up
			ip -n {}h# route add default via 192.168.#.1
			ip netns exec {}r# sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
			ip netns exec {}r# iptables -A INPUT -i wan -p udp -j DROP`))
		s.do(fmt.Sprintf("R='ip netns exec %s%s iptables'; ", s.id, r) + fmt.Sprintf(nat(i), fmt.Sprintf("192.168.%d.2", i),
			fmt.Sprintf("203.0.113.%d", i)))
		s.shape(r, "lan")
	}
	for i := 1; i <= n; i++ {
		s.shape(fmt.Sprint("h", i), "wan")
	}
	return s
}

// attach joins a namespace to the network in the middle.
func (s *homes) attach(i int, ns, addr string) {
	s.do(strings.NewReplacer("{}", s.id, "@", ns, "#", strconv.Itoa(i), "ADDR", addr).Replace(`ip netns add {}@
		ip link add {}b# netns {}net type veth peer name wan netns {}@
		ip -n {}net link set {}b# master br0 && ip -n {}net link set {}b# up
		ip -n {}@ addr add ADDR dev wan && ip -n {}@ link set wan up && ip -n {}@ link set lo up`))
	if ns == "h1" && s.rate != "" { // what comes down to machine 1
		s.do(fmt.Sprintf("tc -n %snet qdisc add dev %sb1 root tbf rate %s burst 64kb latency 50ms", s.id, s.id, s.rate))
	}
}

// shape bounds what a namespace sends over a device.
func (s *homes) shape(ns, dev string) {
	if s.rate != "" {
		s.do(fmt.Sprintf("tc -n %s%s qdisc add dev %s root tbf rate %s burst 64kb latency 50ms", s.id, ns, dev, s.rate))
	}
}

// moved is the bytes that a machine has sent ("tx") or received ("rx") so far.
func (s *homes) moved(i int, way string) uint64 {
	s.t.Helper()
	b := s.do(fmt.Sprintf("ip netns exec %sh%d cat /sys/class/net/wan/statistics/%s_bytes", s.id, i, way))
	n, err := strconv.ParseUint(strings.TrimSpace(b), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// home is what a process at a home is told, in its environment.
type home struct {
	ID, Machines, Steps, Groups, Values int
	Large, Slices                       int // one more group, of so many values, in so many slices
	Rows                                int // of the batch; 0: 12
	CA                                  []byte
	Relay, Alone                        bool // with a relay; machine 1 owns everything
	Dir                                 string
}

// start starts the machine at a home.
func (s *homes) start(p home, out *bytes.Buffer) *exec.Cmd {
	p.Dir = s.dir
	b, err := json.Marshal(p)
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", fmt.Sprintf("%sh%d", s.id, p.ID), s.exe, "-test.run=^TestHome$", "-test.v")
	c.Env = append(os.Environ(), "CONCORD_HOME_TEST="+string(b))
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

// probed is how long the first step takes: the coordinator tries for 10 s to dial what
// cannot be dialled.
const probed = 12 * time.Second

// ran is what machine 1 tells of a run at the homes.
type ran struct {
	Owners   int
	Step     float64 // median seconds
	Pairs    []coordinator.PairStatus
	Moved    map[int]uint64 // bytes by uplink, a step
	Received map[int]uint64 // by downlink
}

// run has machines at all homes make a run.
func (s *homes) run(p home) ran {
	s.t.Helper()
	ca, err := transport.NewCA()
	if err != nil {
		s.t.Fatal(err)
	}
	p.CA = ca.MarshalPEM()
	os.Remove(filepath.Join(s.dir, "warm"))
	var outs []*bytes.Buffer
	var all []*exec.Cmd
	for i := 1; i <= p.Machines; i++ {
		p.ID = i
		outs = append(outs, new(bytes.Buffer))
		all = append(all, s.start(p, outs[i-1]))
	}
	s.began(p.Machines)
	for i, c := range all {
		if err := c.Wait(); err != nil {
			s.t.Fatalf("machine %d: %v\n%s\nmachine 1:\n%s", i+1, err, outs[i], outs[0])
		}
	}
	var r ran
	b, err := os.ReadFile(filepath.Join(s.dir, "ran"))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	r.Moved, r.Received = map[int]uint64{}, map[int]uint64{}
	for i := 1; i <= p.Machines; i++ {
		r.Moved[i] = (s.moved(i, "tx") - s.uplink[i]) / uint64(p.Steps-2)
		r.Received[i] = (s.moved(i, "rx") - s.down[i]) / uint64(p.Steps-2)
	}
	return r
}

// began waits for the second step, and notes what the uplinks have carried until then.
func (s *homes) began(machines int) {
	for range 600 {
		if _, err := os.Stat(filepath.Join(s.dir, "warm")); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	for i := 1; i <= machines; i++ {
		s.uplink[i], s.down[i] = s.moved(i, "tx"), s.moved(i, "rx")
	}
}

// The rules of routers, with the machine's address and the router's.
const (
	fullCone   = "$R -t nat -A POSTROUTING -o wan -s %[1]s -j SNAT --to %[2]s; $R -t nat -A PREROUTING -i wan -p udp -j DNAT --to %[1]s"
	restricted = "$R -t nat -A POSTROUTING -o wan -s %[1]s -j MASQUERADE; : %[2]s"
	symmetric  = "$R -t nat -A POSTROUTING -o wan -s %[1]s -p udp -j MASQUERADE --random-fully; : %[2]s"
)
