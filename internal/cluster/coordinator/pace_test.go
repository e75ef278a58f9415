package coordinator

import (
	"testing"

	"concord/internal/cluster/protocol"
)

func TestPaceIsFitted(t *testing.T) {
	var m measured
	if p := m.pace(); p.Row != 0 {
		t.Errorf("nothing measured: %+v", p)
	}
	m.add(4, 2)
	if p := m.pace(); p != (protocol.Pace{Row: 0.5}) {
		t.Errorf("one size: %+v", p)
	}
	for _, n := range []int{2, 6, 8, 3} {
		m.add(n, 1+0.25*float64(n))
	}
	if p := m.pace(); p.Base < 0.9 || p.Base > 1.1 || p.Row < 0.24 || p.Row > 0.26 {
		t.Errorf("1 + n/4: %+v", p)
	}
}
