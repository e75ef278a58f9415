package protocol

import (
	"slices"
	"testing"
)

func TestPlace(t *testing.T) {
	sizes := []int{10, 20, 30, 40, 5, 5, 10}
	workers := []uint32{1, 2, 3}
	owners, backups := Place(sizes, workers, []uint32{1, 1, 1, 1, 1, 1, 1})
	load := map[uint32]int{}
	for u, w := range owners {
		load[w] += sizes[u]
		if backups[u] == w || !slices.Contains(workers, backups[u]) {
			t.Errorf("group %d of worker %d has the backup %d", u, w, backups[u])
		}
	}
	if len(load) != 3 || slices.Max([]int{load[1], load[2], load[3]}) > 50 {
		t.Errorf("loads %v", load)
	}
	if again, _ := Place(sizes, workers, owners); !slices.Equal(again, owners) {
		t.Errorf("%v moved to %v for nothing", owners, again)
	}
	moved := 0
	for u, w := range ownersOf(Place(sizes, []uint32{1, 2, 3, 4}, owners)) {
		if w != owners[u] {
			if moved++; w != 4 {
				t.Errorf("group %d moved to worker %d", u, w)
			}
		}
	}
	if moved == 0 || moved > 3 {
		t.Errorf("%d groups moved to the newcomer", moved)
	}
	if _, backups := Place(sizes, []uint32{1}, owners); slices.Max(backups) != 0 {
		t.Errorf("backups %v on one machine", backups)
	}
}

// ownersOf is the owners alone.
func ownersOf(owners, _ []uint32) []uint32 { return owners }

// A resolve group that is more than a machine's share is dealt out slice by slice, one that is not
// stays with one machine.
func TestOwnersOfSlices(t *testing.T) {
	sizes, leads := []int{100}, Leads{0}
	for range 30 {
		sizes, leads = append(sizes, 10), append(leads, 1)
	}
	sizes, leads = append(sizes, 50, 40), append(leads, 31, 31)
	for machines, most := range map[int]int{1: 490, 2: 250, 4: 130, 8: 100} {
		var workers []uint32
		for w := range machines {
			workers = append(workers, uint32(w+1))
		}
		o := Owners(sizes, leads, workers)
		load := map[uint32]int{}
		for u, w := range o {
			load[w] += sizes[u]
		}
		for w, n := range load {
			if n > most {
				t.Errorf("%d machines: worker %d owns %d of 490", machines, w, n)
			}
		}
		if machines == 4 && o[31] != o[32] {
			t.Errorf("a group that is less than a share is divided: %v", o[31:])
		}
	}
	if from, to := leads.Range(17); from != 1 || to != 31 || !leads.Sliced(1) || leads.Sliced(0) || leads.Resolved(len(sizes)) != 3 {
		t.Errorf("the slices of group 17 are %d to %d", from, to)
	}
	p := Plan{Owners: make([]uint32, 3), Since: []uint32{4, 4, 5}}
	if p.Valid(3, Leads{0, 1, 1}, false) == nil || p.Valid(3, Leads{0, 0, 2}, false) != nil {
		t.Error("slices of one group that begin in different epochs are taken, or others are not")
	}
}
