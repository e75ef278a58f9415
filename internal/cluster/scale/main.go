// Command scale computes the cost of a step on up to thousands of machines: the
// planner is the program's own, links, speeds and failures are modelled. It
// prints the tables of docs/scaling.md.
//
//	go run ./internal/cluster/scale
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"concord/internal/cluster/protocol"
)

// model is the model that is trained.
type model struct {
	name   string
	params float64
	rowSec float64 // seconds a row of the batch takes on a machine of mean speed
	groups int
	large  float64 // part of the parameters that is in one group, the embedding's; the others are equal
	whole  bool    // groups are not cut
}

// The size of a slice, as package bucket chooses it.
const (
	slicesOfModel = 256
	sliceLeast    = 128 << 10
)

// owned are the sizes of the model's groups as machines own them.
func (m model) owned() (sizes []int, leads protocol.Leads) {
	slice := max(sliceLeast, int(m.params)/slicesOfModel)
	for u := range m.groups {
		size := int(m.params * (1 - m.large) / float64(m.groups-1))
		if u == 0 {
			size = int(m.params * m.large)
		}
		n, first := max(1, (size+slice-1)/slice), len(sizes)
		if m.whole {
			n = 1
		}
		for range n {
			sizes, leads = append(sizes, size/n), append(leads, first)
		}
	}
	return sizes, leads
}

// net is how machines are connected, in bytes per second, and the time of a round
// trip.
type net struct {
	name     string
	up, down float64
	rtt      float64
}

// The assumptions; docs/scaling.md says where they come from.
const (
	steps       = 200
	rowsEach    = 4          // batch rows per machine
	spread      = 10.0       // slowest to fastest machine
	jitter      = 0.08       // of a step's computation
	hiccup      = 0.01       // chance of a step that takes five times as long
	quicPerCore = 2.6e9 / 8  // bytes a second that a core sends or receives
	cores       = 2.0        // that a machine can spare for it
	backward    = 0.6        // of the computation, behind which rows can hide
	resolveSec  = 0.002      // Gram, solve and combine of a group
	etcd        = 0.005      // a commit
	jsonRate    = 100e6      // bytes a second that a coordinator writes as JSON
	perDay      = 1.0        // failures of a machine
	redo        = 3.0        // seconds until one that died is noticed
	bytesEach   = 2.0        // of a value on the wire, bf16
	day         = 24 * 3600. // seconds
)

// result is a configuration's mean step.
type result struct {
	compute, rows, buckets, control, total float64 // seconds; rows and buckets: the part that computation does not hide
	up, down                               float64 // bytes a machine sends and receives, mean
	most                                   float64 // bytes of the busiest
	efficiency                             float64 // work done against the machines' own speed
	limit                                  string
}

// simulate runs steps of a configuration.
func simulate(m model, n net, workers, langs int, seed uint64) result {
	r := rand.New(rand.NewPCG(seed, uint64(workers)))
	var c []protocol.Candidate
	var members []uint32
	ideal := 0.0 // rows a second of all machines together
	for i := range workers {
		sec := m.rowSec * math.Pow(spread, r.Float64()-0.5)
		c = append(c, protocol.Candidate{Worker: uint32(i + 1), Pace: protocol.Pace{Row: sec}})
		members = append(members, uint32(i+1))
		ideal += 1 / sec
	}
	w := work(workers*rowsEach, langs)
	shares := protocol.Assign(w, c, nil)
	sizes, leads := m.owned()
	owners := protocol.Owners(sizes, leads, members)
	group := func(u int) int64 { return int64(float64(sizes[u]) * bytesEach) }
	size := protocol.Sizes{Row: group, Resolved: func(u int, _ uint32) int64 { return group(u) }}
	t := protocol.Cost(w, shares, owners, size, members)
	res := result{up: float64(t.Total()) / float64(workers), down: float64(t.Total()) / float64(workers), most: float64(t.Most())}
	wire := wireTimes(w, shares, owners, group, n, workers)
	res.control = control(owners, shares, members, n)
	for range steps {
		compute := make([]float64, workers)
		for i, s := range shares {
			compute[i] = float64(s.Size()) * c[i].Pace.Row * max(0.5, 1+jitter*r.NormFloat64())
			if r.Float64() < hiccup {
				compute[i] *= 5
			}
		}
		slices.Sort(compute)
		slowest := min(compute[workers-1], max(1.2*compute[workers/2], 1)) // the deadline, once steps are known
		res.compute += slowest / steps
		res.rows += max(0, wire.rows-backward*slowest) / steps
		res.buckets += max(0, wire.buckets-backward*slowest/2) / steps
	}
	res.control += float64(len(sizes))/float64(min(workers, len(sizes)))*resolveSec + n.rtt // Grams there, solutions back
	res.total = res.compute + res.rows + res.buckets + res.control
	lost := perDay / day * float64(workers) * (res.total + redo) // of the steps, each costs its time and the notice
	res.total += lost * redo
	res.efficiency = float64(workers*rowsEach) / ideal / res.total
	res.limit = limit(res)
	return res
}

// work is a batch with the languages' rows side by side.
func work(rows, langs int) protocol.Work {
	k := protocol.Work{Segments: langs, Langs: langs}
	for i := range rows {
		k.Lang, k.Tokens = append(k.Lang, i*langs/rows), append(k.Tokens, 1)
	}
	k.Segment = k.Lang
	return k
}

type wire struct{ rows, buckets float64 }

// wireTimes is how long the busiest machine sends or receives rows, and resolved
// buckets.
func wireTimes(w protocol.Work, shares []protocol.Share, owners []uint32, group func(int) int64, n net, workers int) wire {
	owned := map[uint32]float64{}
	for u, o := range owners {
		owned[o] += float64(group(u))
	}
	langs, sent := w.Languages(shares), 0.0
	all := 0.0
	for u := range owners {
		all += float64(group(u))
	}
	total := 0
	for i, s := range shares {
		sent = max(sent, float64(langs[i])*(all-owned[s.Worker]))
		total += langs[i]
	}
	most, received := 0.0, 0.0
	for i, s := range shares {
		most = max(most, owned[s.Worker])
		received = max(received, owned[s.Worker]*float64(total-langs[i]))
	}
	seconds := func(out, in float64) float64 {
		return max(out/n.up, in/n.down, (out+in)/(quicPerCore*cores))
	}
	return wire{rows: seconds(sent, received), buckets: seconds(most*float64(workers-1), all-all/float64(workers))}
}

// control is the time of a step's plan, commits and round trips.
func control(owners []uint32, shares []protocol.Share, members []uint32, n net) float64 {
	p := protocol.Plan{Owners: owners, Since: owners, Shares: shares}
	for _, m := range members {
		p.Members = append(p.Members, protocol.Address{Worker: m, Name: "machine-0000", Addr: "192.168.100.100:44330"})
	}
	b, _ := json.Marshal(p) // a plan is data
	bytes := float64(len(b) * len(members))
	return etcd + 3*n.rtt + bytes/jsonRate + bytes/n.up
}

// limit names the largest part of a step's time.
func limit(r result) string {
	best, name := r.compute, "computation"
	for what, x := range map[string]float64{"rows to owners": r.rows, "resolved buckets": r.buckets, "the coordinator": r.control} {
		if x > best {
			best, name = x, what
		}
	}
	return name
}

var (
	models = []model{{name: "LoRA-sized, 8.8 M", params: 8.8e6, rowSec: 0.25, groups: 24, large: 1. / 24},
		{name: "135 M", params: 135e6, rowSec: 0.5, groups: 31, large: 0.21},
		{name: "0.5 B", params: 0.5e9, rowSec: 1.5, groups: 26, large: 0.27}}
	nets   = []net{{"LAN, 1 Gbit/s", 125e6, 125e6, 0.001}, {"home, 20 up, 100 down Mbit/s", 2.5e6, 12.5e6, 0.04}}
	counts = []int{4, 32, 256, 4096}
)

func table(out io.Writer, langs int) {
	fmt.Fprintf(out, "| model | link | machines | step s | computation | rows | buckets | control | sent by the busiest | efficiency | "+
		"most time goes to | not cut: step s | sent by the busiest |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range models {
		for _, n := range nets {
			for _, w := range counts {
				r := simulate(m, n, w, langs, 1)
				m.whole = true
				before := simulate(m, n, w, langs, 1)
				m.whole = false
				fmt.Fprintf(out, "| %s | %s | %d | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f GB | %.0f %% | %s | %.1f | %.2f GB |\n", m.name, n.name, w,
					r.total, r.compute, r.rows, r.buckets, r.control, r.most/1e9, 100*r.efficiency, r.limit, before.total, before.most/1e9)
			}
		}
	}
}

func main() {
	for _, langs := range []int{8, 24} {
		fmt.Printf("\n%d languages\n\n", langs)
		table(os.Stdout, langs)
	}
}
