package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// moveSlack is how unequal the owners' shares may become, as a part of the mean,
// before moments move: 8 bytes a value, once.
const moveSlack = 0.25

// Place gives every unit an owner and a backup among workers, of which there is
// one at least. holders are those who have the moments: units stay with them, but
// for what evens out the owners' loads. The backup is the next worker in the
// order of numbers, 0 where there is none. The result is a pure function of its
// arguments.
func Place(sizes []int, workers, holders []uint32) (owners, backups []uint32) {
	w := slices.Sorted(slices.Values(workers))
	load, total := map[uint32]int{}, 0
	owners, backups = slices.Clone(holders), make([]uint32, len(sizes))
	fresh := Owners(sizes, w)
	for u, n := range sizes {
		if !slices.Contains(w, owners[u]) {
			owners[u] = fresh[u]
		}
		load[owners[u]] += n
		total += n
	}
	for range sizes {
		u, to := bestMove(sizes, owners, load, w)
		if u < 0 || float64(load[owners[u]]-load[to]) <= moveSlack*float64(total)/float64(len(w)) {
			break
		}
		load[owners[u]], load[to] = load[owners[u]]-sizes[u], load[to]+sizes[u]
		owners[u] = to
	}
	for u, o := range owners {
		if i, _ := slices.BinarySearch(w, o); len(w) > 1 {
			backups[u] = w[(i+1)%len(w)]
		}
	}
	return owners, backups
}

// bestMove is the unit whose move to the worker with the least evens the two out
// best, from the worker with the most that has such a unit; −1 for none.
func bestMove(sizes []int, owners []uint32, load map[uint32]int, workers []uint32) (unit int, to uint32) {
	order := slices.Clone(workers)
	slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(load[b], load[a]) })
	to = order[len(order)-1]
	for _, from := range order {
		gap, best := load[from]-load[to], -1
		for u, n := range sizes {
			if owners[u] == from && n < gap && (best < 0 || abs(gap-2*n) < abs(gap-2*sizes[best])) {
				best = u
			}
		}
		if best >= 0 {
			return best, to
		}
	}
	return -1, to
}

func abs(n int) int { return max(n, -n) }

// holders are, by unit, the machine that has the moments before the present step
// and is ready for it: its owner rather than its backup, and who can be dialled
// rather than who cannot; 0 for none.
func (c *Coordinator) holders() []uint32 {
	out, rank := make([]uint32, len(c.opt.Units)), make([]int, len(c.opt.Units))
	for _, m := range c.sorted() {
		if !m.current(c.step) || len(m.moments) != len(out) {
			continue
		}
		for u := range out {
			r := 0
			switch m.moments[u] {
			case holdsOwner:
				r = 4
			case holdsBackup:
				r = 2
			default:
				continue
			}
			if m.addr != "" {
				r++
			}
			if r > rank[u] {
				out[u], rank[u] = m.id, r
			}
		}
	}
	return out
}

// awaitMoments says what the next step waits for where nobody who is ready has some
// units' moments, "" for nothing. When nobody can have them any more, the run
// goes back to machine 1's checkpoint, or ends.
func (c *Coordinator) awaitMoments(local *member) string {
	lost := 0
	if c.opt.Parameters {
		for _, w := range c.holders() {
			if w == 0 {
				lost++
			}
		}
	}
	if lost == 0 {
		c.momentsMissing = time.Time{}
		return ""
	}
	var behind []string
	for _, m := range c.sorted() {
		if m.step >= 0 && m.step < c.step && !m.state {
			behind = append(behind, m.hello.Name)
		}
	}
	if c.momentsMissing.IsZero() {
		c.momentsMissing = time.Now()
	}
	waited := time.Since(c.momentsMissing)
	switch {
	case len(behind) > 0 && waited < c.stuckLimit():
		return fmt.Sprintf("%s to apply %s: the optimizer's state of %d units is nowhere else", strings.Join(behind, ", "), c.named(c.step), lost)
	case waited < stateTimeout: // who was not heard of for a while comes back with what it holds
		return fmt.Sprintf("a machine that holds the optimizer's state of %d units", lost)
	case local != nil && local.state:
		return c.goBack(local)
	}
	c.fail(fmt.Errorf("cluster: %s: the optimizer's state of %d of %d units is lost with the machines that held it, an owner and its backup: resume machine 1 to go on from its last checkpoint, and the others follow",
		c.named(c.step+1), lost, len(c.opt.Units)))
	return c.waiting
}
