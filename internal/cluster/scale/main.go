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
	owners := protocol.Owners(slices.Repeat([]int{int(m.params) / m.groups}, m.groups), nil, members)
	group := func(int) int64 { return int64(m.params / float64(m.groups) * bytesEach) }
	down := func(u, others int) int64 { return group(u) * int64(others) }
	t := protocol.Cost(w, shares, owners, group, down, members)
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
	res.control += float64(m.groups) / float64(min(workers, m.groups)) * resolveSec
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
	models = []model{{"LoRA-sized, 8.8 M", 8.8e6, 0.25, 24}, {"135 M", 135e6, 0.5, 31}, {"0.5 B", 0.5e9, 1.5, 26}}
	nets   = []net{{"LAN, 1 Gbit/s", 125e6, 125e6, 0.001}, {"home, 20 up, 100 down Mbit/s", 2.5e6, 12.5e6, 0.04}}
	counts = []int{4, 32, 256, 4096}
)

func table(out io.Writer, langs int) {
	fmt.Fprintf(out, "| model | link | machines | step s | computation | rows | buckets | control | sent by the busiest | efficiency | "+
		"most time goes to |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range models {
		for _, n := range nets {
			for _, w := range counts {
				r := simulate(m, n, w, langs, 1)
				fmt.Fprintf(out, "| %s | %s | %d | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f GB | %.0f %% | %s |\n", m.name, n.name, w,
					r.total, r.compute, r.rows, r.buckets, r.control, r.most/1e9, 100*r.efficiency, r.limit)
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
