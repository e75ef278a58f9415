package bucket

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// State names one of the values that a Store holds per weight.
type State string

// The states. First and Second are AdamW's m and v.
const (
	Weight   State = "weight"
	Gradient State = "gradient"
	First    State = "m"
	Second   State = "v"
)

// Store is the memory of a layout: per bucket one flat buffer for each state,
// laid out alike, so that an optimizer updates a bucket in one or two
// dispatches. The model sees the weights as tensors that lie in these buffers.
// Padding holds zeros.
type Store struct {
	Engine *tensor.Engine
	Layout Layout
	flat   map[State][]tensor.Tensor // per bucket (1, Size)
	frozen map[string]tensor.Tensor  // the weights of what is not trained
}

// Training are the states of training on one machine besides the weights.
var Training = []State{Gradient, First, Second}

// NewStore allocates zeros for the weights and the other states named. It fails
// when the device or the memory budget refuses.
func NewStore(e *tensor.Engine, l Layout, states ...State) (*Store, error) {
	s := &Store{Engine: e, Layout: l, flat: map[State][]tensor.Tensor{}, frozen: map[string]tensor.Tensor{}}
	s.allocate(Weight, gpu.RoleWeights)
	for _, p := range l.Frozen {
		s.frozen[p.Name] = e.New(gpu.RoleWeights, p.Name, p.R, p.C)
	}
	for _, state := range states {
		s.allocate(state, map[State]gpu.Role{Gradient: gpu.RoleGradients, First: gpu.RoleOptimizer, Second: gpu.RoleOptimizer}[state])
	}
	if err := e.Dev.Err(); err != nil {
		s.Release()
		return nil, fmt.Errorf("bucket: allocate parameters: %w", err)
	}
	return s, nil
}

func (s *Store) allocate(state State, role gpu.Role) {
	for _, b := range s.Layout.Buckets {
		s.flat[state] = append(s.flat[state], s.Engine.New(role, string(state)+" of "+b.Name, 1, b.Size))
	}
}

// Release frees the buffers. Tensors handed out must not be used afterwards.
func (s *Store) Release() {
	for _, flat := range s.flat {
		for _, t := range flat {
			t.Buf.Release()
		}
	}
	for _, t := range s.frozen {
		t.Buf.Release()
	}
	clear(s.flat)
	clear(s.frozen)
}

// Holds says that the store has a state.
func (s *Store) Holds(state State) bool { return s.flat[state] != nil }

// Flat is a state of bucket b as one (1, Size) tensor. It panics when the store
// has no such state.
func (s *Store) Flat(state State, b int) tensor.Tensor {
	flat := s.flat[state]
	if flat == nil {
		panic(fmt.Sprintf("bucket: the store holds no %s", state))
	}
	return flat[b]
}

// Tensor is a state of the parameter called name, (R, C), in place. It panics
// when there is no such parameter, or it is frozen and the state is not Weight.
func (s *Store) Tensor(state State, name string) tensor.Tensor {
	if t, ok := s.frozen[name]; ok && state == Weight {
		return t
	}
	p := s.place(name)
	return tensor.Tensor{Buf: s.Flat(state, p.Bucket).Buf, Offset: tensor.F32.Bytes(int64(p.Offset)), R: p.R, C: p.C, LD: p.LD()}
}

// Weight is the weights of the parameter called name, in place.
func (s *Store) Weight(name string) tensor.Tensor { return s.Tensor(Weight, name) }

func (s *Store) place(name string) Place {
	p, ok := s.Layout.Place(name)
	if !ok {
		panic(fmt.Sprintf("bucket: no parameter %q in the layout", name))
	}
	return p
}

// Read waits for all recorded work and returns a state of the parameter called
// name as R*C values, bit for bit.
func (s *Store) Read(state State, name string) ([]float32, error) {
	if err := s.check(state, name); err != nil {
		return nil, err
	}
	v, err := s.Engine.Download(s.Tensor(state, name))
	if err != nil {
		return nil, fmt.Errorf("bucket: read %s of %s: %w", state, name, err)
	}
	return v, nil
}

// Load sets a state of the parameter called name to R*C values, bit for bit.
func (s *Store) Load(state State, name string, values []float32) error {
	if err := s.check(state, name); err != nil {
		return err
	}
	t := s.Tensor(state, name)
	if len(values) != t.R*t.C {
		return fmt.Errorf("bucket: load %s of %s: %d values for the shape (%d,%d)", state, name, len(values), t.R, t.C)
	}
	s.Engine.Upload(t, values)
	return s.Engine.Dev.Err()
}

// check refuses names and states from files that the store does not have.
func (s *Store) check(state State, name string) error {
	if _, frozen := s.frozen[name]; frozen && state != Weight {
		return fmt.Errorf("bucket: %s is frozen and has no %s", name, state)
	} else if _, ok := s.Layout.Place(name); !ok && !frozen {
		return fmt.Errorf("bucket: the model has no parameter %q", name)
	}
	if s.flat[state] == nil {
		return fmt.Errorf("bucket: the store holds no %s", state)
	}
	return nil
}
