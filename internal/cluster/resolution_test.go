package cluster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"weak"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// hashes are those of the weights by resolve group.
func (n *node) hashes() (groups []transport.Hash) {
	for u := range n.weights {
		from, to := n.w.leads().Range(u)
		if u > from {
			continue
		}
		var b bytes.Buffer
		for _, x := range n.weights[from:to] {
			binary.Write(&b, binary.LittleEndian, x)
		}
		groups = append(groups, transport.Sum(b.Bytes()))
	}
	return groups
}

func (n *node) offer() error {
	var b bytes.Buffer
	for _, x := range n.weights {
		binary.Write(&b, binary.LittleEndian, x)
	}
	n.offered = append(n.offered, weak.Make(&b.Bytes()[0]))
	n.m.Offer(n.step, map[string][]byte{"weights": b.Bytes()})
	return nil
}

// lossesOf are the sums of a share's losses by language, exact in any split.
func lossesOf(k protocol.Work, step int, s protocol.Share) []float64 {
	sums := make([]float64, k.Langs)
	for r := s.From; r < s.To; r++ {
		sums[k.Lang[r]] += float64(k.Tokens[r]) * float64((step+r)%7+1) / 8
	}
	return sums
}

// rows are this worker's gradient rows of a group: every batch row adds values
// that depend on it, on the weights and on nothing else.
func (n *node) rows(k protocol.Work, share protocol.Share, segments []int, u int) (rows [][]float32, losses []float64) {
	total := k.LangTokens()
	for _, seg := range segments {
		x := make([]float32, n.w.groups[u])
		for r := share.From; r < share.To; r++ {
			if k.Segment[r] == seg {
				scale := float32(k.Tokens[r]) / float32(total[k.Lang[r]])
				for i := range x {
					v := scale * groupNoise(n.step, r, u, i) * (1 + n.weights[u][i])
					if !n.w.inexact {
						v = float32(math.Round(float64(v)*(1<<20))) / (1 << 20)
					}
					x[i] += v
				}
			}
		}
		rows, losses = append(rows, x), append(losses, float64(seg))
	}
	return rows, losses
}

// groupNoise is what a row adds; rows rounds it so that sums are exact in float32
// whatever the split.
func groupNoise(step, row, group, i int) float32 {
	h := uint32(step)*0x9e3779b1 ^ uint32(row)*0x85ebca77 ^ uint32(group)*0xc2b2ae3d ^ uint32(i)*0x27d4eb2f
	h = (h ^ h>>15) * 0x2c1b3c6d
	h = (h ^ h>>12) * 0x297a2d39
	return float32(int32((h^h>>15)%64)-32) / 4096
}

func (n *node) resolve(s *worker.Step) error {
	got, kept := make([][]float32, len(n.w.groups)), map[int]exchange.Event{}
	resolved := func(e exchange.Event, d []float32) (err error) {
		meta := func(norm2 float64) []byte { return []byte(fmt.Sprint(norm2)) }
		if n.w.spoil != nil {
			bad := n.w.spoil(n.id, n.step, d, []byte("1"))
			meta = func(float64) []byte { return bad }
		}
		if got[e.Slice], err = s.Resolved(e, d, meta); err != nil {
			return err
		}
		return n.at("resolved one")
	}
	for {
		e, err := s.Next(true)
		if err != nil {
			return err
		}
		switch e.Kind {
		case exchange.Sum:
			if n.w.leads().Sliced(e.Slice) {
				if err := n.at("summed"); err != nil {
					return err
				}
				kept[e.Slice] = e
				g := gramOf(e.Rows)
				if n.w.spoilTold != nil && n.w.spoilTold(n.id, n.step) {
					for i := range g {
						g[i] = math.NaN()
					}
				}
				s.Gram(e, g)
				err = n.at("told a Gram")
				break
			}
			err = resolved(e, n.w.combined(e.Slice, e.Rows, nil))
		case exchange.Solve:
			b, _ := json.Marshal(weigh(e.Grams, n.w.langs))
			if n.w.spoilTold != nil && n.w.spoilTold(n.id, n.step) {
				b = []byte("{")
			}
			s.Solved(e, b)
			err = n.at("told a solution")
		case exchange.Combine:
			var weights []float32
			if err := json.Unmarshal(e.Solution, &weights); err != nil {
				return err
			}
			if of := kept[e.Slice]; of.Epoch == e.Epoch {
				err = resolved(e, n.w.combined(e.Slice, of.Rows, weights))
			}
		case exchange.Gradient:
			got[e.Slice] = e.Gradient
		case exchange.Final:
			if err := n.at("all is there"); err != nil {
				return err
			}
			return n.apply(s, got)
		}
		if err != nil {
			return err
		}
	}
}

// leads are the slices of resolve groups.
func (w *world) leads() protocol.Leads {
	if w.params {
		return nil
	}
	return w.cut
}

// gramOf is the lower triangle of the Gram of rows; nil is zero.
func gramOf(rows [][]float32) (out []float64) {
	for i, a := range rows {
		for _, b := range rows[:i+1] {
			sum := 0.0
			if a != nil && b != nil {
				for k, v := range a {
					sum += float64(v) * float64(b[k])
				}
			}
			out = append(out, sum)
		}
	}
	return out
}

// weigh solves a group of several slices: weights up to one that depend on all of the Gram's diagonal.
func weigh(grams [][]float64, langs int) (weights []float32) {
	at := 0
	for m := range langs {
		at += m
		sum := 0.0
		for _, g := range grams {
			sum += g[at+m]
		}
		weights = append(weights, float32(1/(1+1000*sum)))
	}
	return weights
}

// combined is the gradient of a group, or with weights of a slice.
func (w *world) combined(u int, rows [][]float32, weights []float32) []float32 {
	d := make([]float32, w.groups[u])
	for m, x := range rows {
		for i, v := range x {
			if weights != nil {
				v = float32(v * weights[m])
			}
			d[i] += v / float32(w.langs)
		}
	}
	return d
}

// apply takes the committed step, and checks that there is one root for each.
func (n *node) apply(s *worker.Step, got [][]float32) error {
	if n.w.params {
		if err := n.share(s, got); err != nil {
			return err
		}
	}
	for u, d := range got {
		if n.w.params {
			break
		}
		if d == nil {
			return fmt.Errorf("step %d is final without group %d", n.step, u)
		}
		for i, v := range d {
			n.weights[u][i] -= 0.1 * v
		}
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	root := s.Outcome().Root
	if old, ok := n.w.roots[n.step]; ok && old != root {
		return fmt.Errorf("step %d has two roots", n.step)
	}
	n.w.roots[n.step] = root
	n.w.record[n.step] = s.Outcome()
	if n.id == 1 && n.w.committedAt != nil {
		n.w.committedAt(n.step)
	}
	n.step++
	return nil
}

// share is apply in parameters mode: owners subtract a momentum that nobody else
// has, but for the backups that recompute it.
func (n *node) share(s *worker.Step, got [][]float32) error {
	after := map[int][]byte{}
	for _, u := range s.Mine() {
		state := momentum(s.Moments(u), got[u])
		x := slices.Clone(n.weights[u])
		for i := range x {
			x[i] -= 0.1 * state[2*i]
		}
		after[u] = transport.F32.Encode(state)
		s.Updated(u, x)
		if err := n.at("updated one"); err != nil {
			return err
		}
	}
	if err := n.at("updated all"); err != nil {
		return err
	}
	if err := s.AllGatherWeights(); err != nil {
		return err
	}
	if err := n.at("weights gathered"); err != nil {
		return err
	}
	for u := range n.weights {
		x, err := s.Weights(u)
		if err != nil {
			return err
		}
		copy(n.weights[u], x)
	}
	for _, u := range s.Backed() {
		g, err := s.Gradient(u)
		if err != nil {
			return err
		}
		after[u] = transport.F32.Encode(momentum(s.Moments(u), g))
	}
	s.Keep(after)
	n.kept = after
	return nil
}

// momentum is the state behind a step: the momentum, and as much that stays zero.
func momentum(before []byte, g []float32) []float32 {
	x := make([]float32, 2*len(g))
	if before != nil {
		if err := transport.F32.Decode(x, before); err != nil {
			panic(err)
		}
	}
	for i, v := range g {
		x[2*i] = 0.5*x[2*i] + v
	}
	return x
}
