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
