package worker

import (
	"fmt"
	"time"

	"concord/transport"
)

// What a step does in parameters mode once all gradients are resolved: owners
// update their units and send the weights to everyone. Nothing of it changes what
// a machine holds before the step is committed, so that it can be done again.

// Mine lists the units that this machine updates.
func (s *Step) Mine() []int { return s.unitsOf(s.plan.Owners) }

// Backed lists the units that this machine is the backup of.
func (s *Step) Backed() []int { return s.unitsOf(s.plan.Backups) }

func (s *Step) unitsOf(workers []uint32) (out []int) {
	for u, w := range workers {
		if w == s.m.id {
			out = append(out, u)
		}
	}
	return out
}

// Moments is the state of the optimizer before the step, of a unit of Mine or
// Backed; nil is zeros. It must not be changed.
func (s *Step) Moments(unit int) []byte {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.cache[unit].data
}

// Updated tells everyone the weights of a unit of Mine after the step. They must
// not be changed any more.
func (s *Step) Updated(unit int, weights []float32) {
	data := transport.F32.Encode(weights)
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	s.weights[unit], s.updated[unit] = weights, m.shape.hash(transport.Parameters, nil, data)
	t := transport.Outgoing{Header: transport.Header{Kind: transport.Parameters, Codec: transport.F32, Step: uint64(s.n),
		Epoch:  s.plan.Since[unit],
		Bucket: uint32(unit), Elements: uint64(len(weights))}, Data: data, Urgency: 3, Patience: time.Minute}
	for _, a := range s.plan.Members {
		if a.Worker != m.id {
			m.spawn(func() { m.broadcast(s.n, a, t) })
		}
	}
}

// landed notes that a unit's weights are there, from its present owner.
func (s *Step) landed(unit int) {
	r := s.m.inbox[s.n][unitKey{transport.Parameters, unit}]
	if r != nil && s.plan.Owners[unit] != s.m.id && r.epoch == s.plan.Since[unit] {
		s.updated[unit] = r.hash
		s.m.changed.Broadcast()
	}
}

// AllGatherWeights waits until every unit's weights are here and the step is committed.
// Errors are those of Next: then nothing of the step may be kept.
func (s *Step) AllGatherWeights() error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if err := s.interrupted(); err != nil {
			return err
		}
		if len(s.updated) == len(s.plan.Owners) {
			if ok, err := s.committed(); ok || err != nil {
				return err
			}
		}
		began := time.Now()
		m.changed.Wait()
		s.waited += time.Since(began)
	}
}

// Weights are a unit's after the step, once AllGatherWeights has returned.
func (s *Step) Weights(unit int) ([]float32, error) {
	s.m.mu.Lock()
	w, r := s.weights[unit], s.m.inbox[s.n][unitKey{transport.Parameters, unit}]
	s.m.mu.Unlock()
	if w != nil {
		return w, nil
	}
	x := make([]float32, s.m.shape.Units[unit])
	return x, transport.F32.Decode(x, r.payload)
}

// Gradient is the gradient that the owner of a unit of Backed has applied.
func (s *Step) Gradient(unit int) ([]float32, error) {
	s.m.mu.Lock()
	r := s.m.inbox[s.n][unitKey{transport.Gradient, unit}]
	s.m.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("cluster: %s: no gradient of unit %d", s.m.named(s.n+1), unit)
	}
	x := make([]float32, s.m.shape.Units[unit])
	return x, s.m.shape.Codec.Decode(x, r.payload)
}

// Keep makes data, by unit of Mine and Backed, what this machine holds of the
// optimizer's state after the step.
func (s *Step) Keep(data map[int][]byte) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.cache)
	for u, x := range data {
		m.cache[u] = moments{step: s.n + 1, data: x, owner: s.plan.Owners[u] == m.id}
	}
	m.changed.Broadcast()
}
