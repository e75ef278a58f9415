package metrics

import (
	"strconv"

	"concord/internal/cluster/coordinator"
)

// machineFigures are a machine's figures by metric.
var machineFigures = []struct {
	name, help string
	of         func(m coordinator.MemberStatus) float64
}{
	{"concord_machine_step", "Steps that a machine has applied.", func(m coordinator.MemberStatus) float64 { return float64(m.Step) }},
	{"concord_machine_rows", "Rows of a machine's share of the batch.", func(m coordinator.MemberStatus) float64 { return float64(m.Rows) }},
	{"concord_machine_groups", "Resolve groups that a machine owns all of.",
		func(m coordinator.MemberStatus) float64 { return float64(m.Groups) }},
	{"concord_machine_slices", "Slices that a machine owns of other resolve groups.",
		func(m coordinator.MemberStatus) float64 { return float64(m.Slices) }},
	{"concord_machine_tokens_per_second", "Tokens a second that a machine computes.",
		func(m coordinator.MemberStatus) float64 { return m.Speed }},
	{"concord_machine_sent_bytes", "Bytes that a machine sent in its last step.",
		func(m coordinator.MemberStatus) float64 { return float64(m.Sent) }},
	{"concord_machine_received_bytes", "Bytes that a machine received in its last step.",
		func(m coordinator.MemberStatus) float64 { return float64(m.Received) }},
	{"concord_machine_waited_seconds", "Seconds that a machine waited for others in its last step.",
		func(m coordinator.MemberStatus) float64 { return m.Waited }},
	{"concord_machine_waited_on_seconds", "Seconds that others waited for a machine in the last step.",
		func(m coordinator.MemberStatus) float64 { return m.WaitedOn }},
	{"concord_machine_round_trip_seconds", "Round trip to a machine.", func(m coordinator.MemberStatus) float64 { return m.RTT }},
	{"concord_machine_lost_ratio", "Share of the packets to a machine that were lost.",
		func(m coordinator.MemberStatus) float64 { return m.Lost }},
}

func writeStatus(p *page, s coordinator.Status) {
	p.one("concord_committed_steps", "gauge", "Steps that the coordinator has committed.", float64(s.Step))
	p.one("concord_term", "gauge", "Term of the coordinator: how often leadership has changed.", float64(s.Term))
	p.one("concord_machines", "gauge", "Machines in the run, machine 1 included.", float64(len(s.Members)))
	p.one("concord_evictions_total", "counter", "Machines evicted from the run.", float64(len(s.Evicted)))
	p.family("concord_waiting", "gauge", "1 with the cause while the run waits, else 0.")
	if s.Waiting != "" {
		p.sample("concord_waiting", 1, "cause", s.Waiting)
	} else {
		p.sample("concord_waiting", 0, "cause", "")
	}
	p.family("concord_machine_state", "gauge", "1 with the machine's state: joining, catching up or working.")
	for _, m := range s.Members {
		p.sample("concord_machine_state", 1, "machine", strconv.Itoa(int(m.Worker)), "name", m.Name, "device", m.Device, "state", m.State)
	}
	p.family("concord_pair_path", "gauge", "1 with the path between two machines: direct, punched or relayed.")
	for _, x := range s.Pairs {
		p.sample("concord_pair_path", 1, "machine", strconv.Itoa(int(x.Workers[0])), "other", strconv.Itoa(int(x.Workers[1])), "path",
			string(x.Path))
	}
	p.family("concord_pair_relayed_bytes_total", "counter", "Bytes between two machines that machine 1 has passed on.")
	for _, x := range s.Pairs {
		p.sample("concord_pair_relayed_bytes_total", float64(x.Relayed), "machine", strconv.Itoa(int(x.Workers[0])), "other",
			strconv.Itoa(int(x.Workers[1])))
	}
	for _, f := range machineFigures {
		p.family(f.name, "gauge", f.help)
		for _, m := range s.Members {
			p.sample(f.name, f.of(m), "machine", strconv.Itoa(int(m.Worker)), "name", m.Name)
		}
	}
}
