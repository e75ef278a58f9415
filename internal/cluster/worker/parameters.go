package worker

import (
	"fmt"
	"time"

	"concord/transport"
)

// A step in parameters mode goes on once all gradients are resolved: owners
// update their groups and send the weights to everyone. It changes no
// state of a machine before the step is committed, so that it can be done again.

// Mine lists the groups that this machine updates.
func (s *Step) Mine() []int { return s.groupsOf(s.plan.Owners) }

// Backed lists the groups that this machine is the backup of.
func (s *Step) Backed() []int { return s.groupsOf(s.plan.Backups) }

func (s *Step) groupsOf(workers []uint32) (out []int) {
	for u, w := range workers {
		if w == s.m.id {
			out = append(out, u)
		}
	}
	return out
}

// Moments is the state of the optimizer before the step, of a group of Mine or
// Backed; nil is zeros. It must not be changed.
func (s *Step) Moments(group int) []byte {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.cache[group].data
}

// Updated tells everyone the weights of a group of Mine after the step. They must
// not be changed any more.
func (s *Step) Updated(group int, weights []float32) {
	data := transport.F32.Encode(weights)
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	s.weights[group], s.updated[group] = weights, m.shape.hash(transport.Parameters, nil, data)
	t := transport.Outgoing{Header: transport.Header{Kind: transport.Parameters, Codec: transport.F32, Step: uint64(s.n),
		Epoch:  s.plan.Since[group],
		Bucket: uint32(group), Elements: uint64(len(weights))}, Data: data, Urgency: 3, Patience: time.Minute}
	for _, a := range s.plan.Members {
		if a.Worker != m.id {
			m.spawn(func() { m.broadcast(s.n, a, t) })
		}
	}
}

// landed notes that a group's weights are there, from its present owner.
func (s *Step) landed(group int) {
	r := s.m.inbox[s.n][groupKey{transport.Parameters, group}]
	if r != nil && s.plan.Owners[group] != s.m.id && r.epoch == s.plan.Since[group] {
		s.updated[group] = r.hash
		s.m.changed.Broadcast()
	}
}

// AllGatherWeights waits until every group's weights are here and the step is committed.
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

// Weights are a group's after the step, once AllGatherWeights has returned.
func (s *Step) Weights(group int) ([]float32, error) {
	s.m.mu.Lock()
	w, r := s.weights[group], s.m.inbox[s.n][groupKey{transport.Parameters, group}]
	s.m.mu.Unlock()
	if w != nil {
		return w, nil
	}
	x := make([]float32, s.m.shape.Groups[group])
	return x, transport.F32.Decode(x, r.payload)
}

// Gradient is the gradient that the owner of a group of Backed has applied.
func (s *Step) Gradient(group int) ([]float32, error) {
	s.m.mu.Lock()
	r := s.m.inbox[s.n][groupKey{transport.Gradient, group}]
	s.m.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("cluster: %s: no gradient of group %d", s.m.named(s.n+1), group)
	}
	x := make([]float32, s.m.shape.Groups[group])
	return x, s.m.shape.Codec.Decode(x, r.payload)
}

// Keep makes data, by group of Mine and Backed, this machine's part of the
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
