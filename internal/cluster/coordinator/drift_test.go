package coordinator

import (
	"testing"

	"concord/transport"
)

func TestPopular(t *testing.T) {
	x, y := []transport.Hash{{1}, {2}}, []transport.Hash{{1}, {3}}
	for _, c := range []struct {
		told map[uint32][]transport.Hash
		want uint32
	}{
		{map[uint32][]transport.Hash{1: x, 2: y}, 1},
		{map[uint32][]transport.Hash{1: x, 2: y, 3: y}, 2},
		{map[uint32][]transport.Hash{2: x, 3: x, 1: y}, 2},
	} {
		if got := popular(c.told, 1); got != c.want {
			t.Errorf("%v: %d, want %d", c.told, got, c.want)
		}
	}
}
