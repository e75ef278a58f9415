package worker

import (
	"maps"
	"slices"

	"concord/internal/cluster/protocol"
)

// progress is where this machine stands in its step; called with the mutex.
func (m *Member) progress() protocol.Progress {
	s := m.cur
	if s == nil || s.redo || m.commits[s.n] != nil {
		return protocol.Progress{}
	}
	p := protocol.Progress{Epoch: s.plan.Epoch, Saving: s.saving > 0, Computing: len(s.rows) > 0 && len(s.out) < len(s.plan.Owners) &&
		s.plan.ShareOf(m.id).Size() > 0}
	rows, groups, waits := map[uint32]bool{}, map[uint32]bool{}, map[uint32]bool{}
	for _, o := range s.owned {
		for c := range o.expect {
			rows[c.worker] = true
		}
	}
	for u, owner := range s.plan.Owners {
		switch o := s.owned[u]; {
		case s.here(u), o != nil && !o.ready:
		case o == nil:
			groups[owner] = true
		default:
			self, others := s.waits(u)
			groups[m.id] = groups[m.id] || self
			for _, w := range others {
				waits[w] = true
			}
		}
	}
	if !groups[m.id] {
		delete(groups, m.id)
	}
	p.Rows, p.Groups, p.Waits = slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(groups)), slices.Sorted(maps.Keys(waits))
	return p
}
