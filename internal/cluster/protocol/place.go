package protocol

import (
	"cmp"
	"slices"
)

// wholeSlack is how much more than its share of all values an owner may get so that a resolve
// group stays with one machine: a group of several owners takes two more messages to resolve.
const wholeSlack = 0.05

// Owners gives every group an owner: the largest resolve groups first, each to the worker
// with the least so far. One in several slices that would give a worker more than its share is dealt
// out slice by slice when all others are placed. Workers must not be empty; the result is a pure
// function of its arguments.
func Owners(sizes []int, leads Leads, workers []uint32) []uint32 {
	w := slices.Sorted(slices.Values(workers))
	load, out := make([]int, len(w)), make([]uint32, len(sizes))
	most := int((1 + wholeSlack) * float64(Total(sizes)) / float64(len(w)))
	var large []int
	for _, u := range leads.largest(sizes) {
		from, to := leads.Range(u)
		i := least(load)
		if n := Total(sizes[from:to]); to-from > 1 && load[i]+n > most {
			large = append(large, u)
			continue
		}
		for ; from < to; from++ {
			load[i], out[from] = load[i]+sizes[from], w[i]
		}
	}
	for _, u := range large {
		for from, to := leads.Range(u); from < to; from++ {
			i := least(load)
			load[i], out[from] = load[i]+sizes[from], w[i]
		}
	}
	return out
}

// least is the first of the smallest.
func least(load []int) int { return slices.Index(load, slices.Min(load)) }

// largest lists the first slices of the resolve groups, the largest group first.
func (l Leads) largest(sizes []int) (out []int) {
	whole := make([]int, len(sizes))
	for u, n := range sizes {
		if l.Of(u) == u {
			out = append(out, u)
		}
		whole[l.Of(u)] += n
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(whole[b], whole[a]) })
	return out
}

// moveSlack is how unequal the owners' shares may become, as a part of the mean,
// before moments move: 8 bytes a value, once.
const moveSlack = 0.25

// Place gives every group an owner and a backup among workers, one at least. holders
// are those who have the moments: groups stay with them, but for moves that even out the
// owners' loads. The backup is the next worker in the order of numbers, 0 where there is
// none. The result is a pure function of its arguments.
func Place(sizes []int, workers, holders []uint32) (owners, backups []uint32) {
	w := slices.Sorted(slices.Values(workers))
	load, total := map[uint32]int{}, 0
	owners, backups = slices.Clone(holders), make([]uint32, len(sizes))
	fresh := Owners(sizes, nil, w)
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

// bestMove is the group whose move to the worker with the least evens the two out
// best, from the worker with the most that has such a group; −1 for none.
func bestMove(sizes []int, owners []uint32, load map[uint32]int, workers []uint32) (group int, to uint32) {
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
