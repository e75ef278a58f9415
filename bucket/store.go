package bucket

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// State names one of the values that a Store holds per weight.
type State string

// The states. First and Second are AdamW's m and v; Factors takes the place of both
// where the second moment is kept by row and column, see Store.Factors.
const (
	Weight   State = "weight"
	Gradient State = "gradient"
	First    State = "m"
	Second   State = "v"
	Factors  State = "factors"
)

// Store is the memory of a layout: per bucket one flat buffer for each state,
// laid out alike, so that an optimizer updates a bucket in one or two
// dispatches. The model sees the weights as tensors that lie in these buffers.
// Padding holds zeros.
type Store struct {
	Engine *tensor.Engine
	Layout Layout
	types  Types
	flat   map[State][]tensor.Tensor // per bucket (1, Size)
	frozen map[string]tensor.Tensor  // the weights of parameters that are not trained
}

// Training are the states of training on one machine besides the weights.
var Training = []State{Gradient, First, Second}

// Types are the element types of states, F32 where none is given: Weight may be BF16,
// which matrices then are and vectors are not; First and Second types that
// tensor.AdamWPacked takes. Parameters must then be aligned to tensor.PackedBlock.
type Types map[State]tensor.DType

// NewStore allocates zeros for the weights and the other states named. It fails
// when the device or the memory budget refuses.
func NewStore(e *tensor.Engine, l Layout, states ...State) (*Store, error) {
	return NewTypedStore(e, l, nil, states...)
}

// NewTypedStore is NewStore with element types.
func NewTypedStore(e *tensor.Engine, l Layout, types Types, states ...State) (*Store, error) {
	s := &Store{Engine: e, Layout: l, types: types, flat: map[State][]tensor.Tensor{}, frozen: map[string]tensor.Tensor{}}
	if err := s.checkTypes(); err != nil {
		return nil, err
	}
	s.allocate(Weight, gpu.RoleWeights)
	for _, p := range l.Frozen {
		s.frozen[p.Name] = e.NewTyped(gpu.RoleWeights, p.Name, s.Type(Weight, p), p.R, p.C)
	}
	for _, state := range states {
		s.allocate(state, map[State]gpu.Role{Gradient: gpu.RoleGradients, First: gpu.RoleOptimizer, Second: gpu.RoleOptimizer,
			Factors: gpu.RoleOptimizer}[state])
	}
	if err := e.Dev.Err(); err != nil {
		s.Release()
		return nil, fmt.Errorf("bucket: allocate parameters: %w", err)
	}
	return s, nil
}

func (s *Store) allocate(state State, role gpu.Role) {
	for _, b := range s.Layout.Buckets {
		s.flat[state] = append(s.flat[state], s.Engine.NewTyped(role, string(state)+" of "+b.Name, s.types[state], 1, s.elements(state, b)))
	}
}

// elements is how many elements of its type a state of bucket b takes: a float32
// vector beside bf16 matrices counts twice.
func (s *Store) elements(state State, b Bucket) int {
	if state == Factors {
		last := b.Params[len(b.Params)-1]
		return s.factorsBefore(last) + last.factors()
	}
	if state == Weight && s.types[state] == tensor.BF16 {
		return b.matrices + 2*(b.Size-b.matrices)
	}
	return b.Size
}

// checkTypes refuses types that the optimizer cannot update.
func (s *Store) checkTypes() error {
	for _, d := range s.types {
		for _, b := range s.Layout.Buckets {
			for _, p := range b.Params {
				if d != tensor.F32 && p.Align%tensor.PackedBlock != 0 || d != tensor.F32 && p.Align == 0 {
					return fmt.Errorf("bucket: %s is aligned to %d elements, states of type %v need %d", p.Name, max(p.Align, align), d,
						tensor.PackedBlock)
				}
			}
		}
	}
	return nil
}

// Type is the element type of a state of p.
func (s *Store) Type(state State, p Param) tensor.DType {
	if state == Weight && p.Frozen && (p.Own || p.Type != tensor.F32) {
		return p.Type
	}
	if state == Weight && p.Kind.Vector() {
		return tensor.F32
	}
	return s.types[state]
}

// Packed says that some state is not float32.
func (s *Store) Packed() bool {
	for _, d := range s.types {
		if d != tensor.F32 {
			return true
		}
	}
	return false
}

// offset is where a state of p begins in its bucket's buffer, in bytes.
func (s *Store) offset(state State, p Place) int64 {
	d := s.types[state]
	if state == Factors {
		return d.Bytes(int64(s.factorsBefore(p)))
	}
	if matrices := s.Layout.Buckets[p.Bucket].matrices; state == Weight && p.Kind.Vector() {
		return d.Bytes(int64(matrices)) + tensor.F32.Bytes(int64(p.Offset-matrices))
	}
	return d.Bytes(int64(p.Offset))
}

// Whole is a state of the parameter called name with its padding as one vector,
// (1, Extent). Of a block type it may begin where no binding may.
func (s *Store) Whole(state State, name string) tensor.Tensor {
	return s.In(s.buffers(state)[s.place(name).Bucket].Buf, state, name)
}

// In is Whole in a buffer that is laid out as the state's of the parameter's bucket.
func (s *Store) In(buf *gpu.Buffer, state State, name string) tensor.Tensor {
	p := s.place(name)
	n := p.Extent()
	if state == Factors {
		n = p.factors()
	}
	return tensor.Tensor{Buf: buf, Offset: s.offset(state, p), R: 1, C: n, LD: n, DType: s.Type(state, p.Param)}
}

// Buffer is the memory of a state of bucket b.
func (s *Store) Buffer(state State, b int) *gpu.Buffer { return s.buffers(state)[b].Buf }

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
// has no such state, or not as float32.
func (s *Store) Flat(state State, b int) tensor.Tensor {
	if d := s.types[state]; d != tensor.F32 {
		panic(fmt.Sprintf("bucket: the store's %s is of type %v", state, d))
	}
	return s.buffers(state)[b]
}

// buffers are a state's by bucket.
func (s *Store) buffers(state State) []tensor.Tensor {
	flat := s.flat[state]
	if flat == nil {
		panic(fmt.Sprintf("bucket: the store holds no %s", state))
	}
	return flat
}

// Tensor is a state of the parameter called name, (R, C), in place. It panics
// when there is no such parameter, or it is frozen and the state is not Weight, or the
// state is in blocks.
func (s *Store) Tensor(state State, name string) tensor.Tensor {
	if t, ok := s.frozen[name]; ok && state == Weight {
		return t
	}
	t, p := s.Whole(state, name), s.place(name)
	if t.DType.Blocks() {
		panic(fmt.Sprintf("bucket: %s of %s is in blocks of type %v", state, name, t.DType))
	}
	if state != Factors {
		t.R, t.C, t.LD = p.R, p.C, p.LD()
	}
	return t
}

// factors is the elements of p's Factors: a value for each row and each column, each
// list aligned.
func (p Param) factors() int { return aligned(p.R) + aligned(p.C) }

func aligned(n int) int { return (n + align - 1) / align * align }

// factorsBefore is the elements of the Factors before p's in its bucket.
func (s *Store) factorsBefore(p Place) (n int) {
	for _, q := range s.Layout.Buckets[p.Bucket].Params {
		if q.Name == p.Name {
			break
		}
		n += q.factors()
	}
	return n
}

// Factors are the second moment of the parameter called name by row, (1, R), and by
// column, (1, C), in a buffer that is laid out as its bucket's.
func (s *Store) Factors(buf *gpu.Buffer, name string) (rows, columns tensor.Tensor) {
	t, p := s.In(buf, Factors, name), s.place(name)
	rows, columns = t, t
	rows.C, rows.LD = p.R, tensor.F32.LD(p.R)
	columns.C, columns.LD = p.C, p.LD()
	columns.Offset += tensor.F32.Bytes(int64(aligned(p.R)))
	return rows, columns
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

// Raw waits for all recorded work and returns a state of the parameter called name as
// it lies in memory, padding included.
func (s *Store) Raw(state State, name string) ([]byte, error) {
	if err := s.check(state, name); err != nil {
		return nil, err
	}
	b, err := s.Engine.Dev.Read(s.raw(state, name).RawView()).Wait()
	if err != nil {
		return nil, fmt.Errorf("bucket: read %s of %s: %w", state, name, err)
	}
	return b, nil
}

func (s *Store) raw(state State, name string) tensor.Tensor {
	if t, ok := s.frozen[name]; ok {
		return t
	}
	return s.Whole(state, name)
}

// LoadRaw sets bytes that Raw returned.
func (s *Store) LoadRaw(state State, name string, b []byte) error {
	if err := s.check(state, name); err != nil {
		return err
	}
	t := s.raw(state, name)
	if int64(len(b)) != t.Bytes() {
		return fmt.Errorf("bucket: load %s of %s: %d bytes, not %d", state, name, len(b), t.Bytes())
	}
	s.Engine.Dev.Write(t.RawView(), b)
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
