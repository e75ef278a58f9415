package exchange

import "concord/internal/cluster/protocol"

// Forecast is the traffic of the run's first exchanges, so many at most, on machines of the same
// speed: the plans that the coordinator makes of the same rows and groups.
func (d *Distributed) Forecast(machines, exchanges int) []protocol.Traffic {
	s := d.self.shape()
	var works []protocol.Work
	for n := 0; n < exchanges && d.StepAfter(n) < d.Steps; n++ {
		works = append(works, d.Work(n))
	}
	return protocol.Forecast(works, s.Groups, s.Leads, s.Codec, s.Parameters, machines)
}
