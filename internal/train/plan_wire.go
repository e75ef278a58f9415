package train

import (
	"io"
	"slices"

	"concord/gpu"
	"concord/internal/cluster/protocol"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/fault"
	"concord/tensor"
)

// WirePlan is the bytes that the machines of a run send and receive: payloads, to which metadata and
// the headers of packets come.
type WirePlan struct {
	Machines int    `json:"machines"`
	Exchange string `json:"exchange"` // in words, with their formats
	Format   string `json:"format"`   // cluster.wire
	Steps    int    `json:"steps"`    // between two exchanges
	Counted  int    `json:"counted"`  // exchanges that the figures are a mean of
	// By machine, bytes of an exchange.
	Up   []int64 `json:"up_bytes"`
	Down []int64 `json:"down_bytes"`
}

// Total is the bytes that all machines send in an exchange.
func (w WirePlan) Total() (n int64) {
	for _, up := range w.Up {
		n += up
	}
	return n
}

// Most is the bytes that the busiest machine sends in an exchange, or receives, where these are more.
func (w WirePlan) Most() int64 { return max(slices.Max(w.Up), slices.Max(w.Down)) }

// wirePlanned is how many exchanges are planned: their rows differ.
const wirePlanned = 16

// Wire plans the bytes of an exchange for so many machines of the same speed. The groups, rows and
// owners are those that the machines' exchange and their coordinator make.
func (p *Planner) Wire(machines int) (WirePlan, error) {
	cfg := p.cfg
	w := WirePlan{Machines: machines, Exchange: inWords(cfg), Steps: max(1, cfg.OuterSteps()), Up: make([]int64, machines),
		Down: make([]int64, machines)}
	if !cfg.Clustered() {
		return w, nil
	}
	w.Format = string(cfg.Cluster.Format())
	traffic, err := p.traffic(machines)
	if err != nil {
		return w, err
	}
	w.Counted = len(traffic)
	for _, t := range traffic {
		for i := range machines {
			w.Up[i] += t.Sent[uint32(i+1)]
			w.Down[i] += t.Received[uint32(i+1)]
		}
	}
	for i := range machines {
		w.Up[i] /= int64(max(1, w.Counted))
		w.Down[i] /= int64(max(1, w.Counted))
	}
	return w, nil
}

// traffic is that of the run's first exchanges, by its exchange on a device that does nothing.
func (p *Planner) traffic(machines int) ([]protocol.Traffic, error) {
	dev, err := gpu.OpenDry(gpu.DryDevice{Name: "none", Type: gpu.Discrete, Budget: unbounded, Measuring: true})
	if err != nil {
		return nil, fault.Device(err)
	}
	defer dev.Close()
	t, err := trainerOn(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}), p.cfg, p.corpus, nil, io.Discard, false)
	if err != nil {
		return nil, err
	}
	defer t.Release()
	return t.exchange.(exchange.Networked).Machines().Forecast(machines, wirePlanned), nil
}

// inWords names the values that the machines of a run exchange.
func inWords(cfg *config.Config) string {
	switch {
	case !cfg.Clustered():
		return "nothing"
	case cfg.OuterSteps() > 0:
		return "changes of the weights as " + string(cfg.Cluster.Format())
	}
	what := "gradients by language"
	if cfg.Cluster.Local() {
		what = "one gradient a machine"
	}
	what += " as " + string(cfg.Cluster.Format())
	if cfg.Sharded() {
		what += ", updated weights as f32"
	}
	return what
}
