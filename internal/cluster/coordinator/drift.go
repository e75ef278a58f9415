package coordinator

import (
	"fmt"

	"concord/transport"
)

// mostDrifts is how often a machine of the same device as the reference may
// drift: once is a flipped bit, twice is a bad machine.
const mostDrifts = 1

// repair compares the replicas that reported their hashes before a step that is
// committed now. A machine that is not like most others, or with no majority like
// machine 1, fetches the weights of another machine; of those who hold the right ones, in
// gradients mode, everyone stays right.
func (c *Coordinator) repair(step int) {
	reported := map[uint32][]transport.Hash{}
	for _, m := range c.sorted() {
		if m.hashes != nil && m.hashes.Step == step && len(m.hashes.Groups) == c.opt.Leads.Resolved(len(c.opt.Groups)) {
			reported[m.id] = m.hashes.Groups
		}
	}
	if len(reported) < 2 {
		return
	}
	right := popular(reported, c.opt.Local)
	for _, m := range c.sorted() {
		if mine, ok := reported[m.id]; ok {
			if groups := differ(mine, reported[right]); len(groups) > 0 {
				c.drifted(m, c.members[right], groups)
			}
		}
	}
}

// drifted has a machine fetch the right weights, or puts it out.
func (c *Coordinator) drifted(m, right *member, groups []int) {
	m.drifts++
	if same := m.hello.Device == right.hello.Device; same && m.drifts > mostDrifts && m.id != c.opt.Local {
		c.ban(m,
			fmt.Sprintf("its weights differ from those of %s for the second time, on the same kind of device: bad memory or a driver's "+
				"fault",
				right.hello.Name))
		return
	}
	c.logf("the weights of %s differ from those of %s in %d of %d groups (the first: %d): it fetches them", m.hello.Name, right.hello.Name,
		len(groups), len(right.hashes.Groups), groups[0])
	c.resync(m)
}

// popular is a worker whose hashes most others have too; with a tie, first's if
// it is among them, else the one with the lowest number.
func popular(reported map[uint32][]transport.Hash, first uint32) uint32 {
	best, votes := uint32(0), 0
	for w, h := range reported {
		n := 0
		for _, other := range reported {
			if len(differ(h, other)) == 0 {
				n++
			}
		}
		if n > votes || n == votes && (w == first || best != first && w < best) {
			best, votes = w, n
		}
	}
	return best
}

// differ lists the groups whose hashes differ.
func differ(a, b []transport.Hash) (groups []int) {
	for u := range a {
		if a[u] != b[u] {
			groups = append(groups, u)
		}
	}
	return groups
}
