package bucket

import "fmt"

// Host is states of a store's groups in host memory, to the bit as they lie in the
// device's: the buckets of a group one after the other, padding included.
type Host struct {
	store  *Store
	groups map[State][][]byte // nil for a group that was not set
}

// NewHost returns zeros for the states named, which the store need not hold itself, and
// nothing of others.
func (s *Store) NewHost(states ...State) *Host {
	h := &Host{store: s, groups: map[State][][]byte{}}
	for _, state := range states {
		for u := range s.Layout.Groups {
			h.groups[state] = append(h.groups[state], make([]byte, s.GroupBytes(state, u)))
		}
	}
	return h
}

// Group is a state of group u: the memory itself, not a copy.
func (h *Host) Group(state State, u int) []byte { return h.groups[state][u] }

// Set makes b, of GroupBytes, a state of group u.
func (h *Host) Set(state State, u int, b []byte) {
	if h.groups[state] == nil {
		h.groups[state] = make([][]byte, len(h.store.Layout.Groups))
	}
	h.groups[state][u] = b
}

// Read returns a state of the parameter called name as R*C values, as Store.Read does.
func (h *Host) Read(state State, name string) ([]float32, error) {
	b, err := h.Raw(state, name)
	if err != nil {
		return nil, err
	}
	p := h.store.place(name)
	return p.Unpad(h.store.Type(state, p.Param).Decode(b)), nil
}

// Raw returns a state of the parameter called name as Store.Raw does: memory of h.
func (h *Host) Raw(state State, name string) ([]byte, error) {
	p, ok := h.store.Layout.Place(name)
	if !ok {
		return nil, fmt.Errorf("bucket: the model has no trained parameter %q", name)
	}
	u := h.store.Layout.Buckets[p.Bucket].Group
	if all := h.groups[state]; all == nil || all[u] == nil {
		return nil, fmt.Errorf("bucket: %s of %s is not here", state, name)
	}
	from, n := h.store.inGroup(state, p)
	return h.groups[state][u][from : from+n], nil
}

// Load sets a state of the parameter called name to R*C values, as Store.Load does.
func (h *Host) Load(state State, name string, values []float32) error {
	to, err := h.Raw(state, name)
	if err != nil {
		return err
	}
	p := h.store.place(name)
	if len(values) != p.R*p.C {
		return fmt.Errorf("bucket: load %s of %s: %d values for the shape (%d,%d)", state, name, len(values), p.R, p.C)
	}
	copy(to, h.store.Type(state, p.Param).Encode(p.Pad(values)))
	return nil
}

// LoadRaw sets bytes that Raw returned.
func (h *Host) LoadRaw(state State, name string, b []byte) error {
	to, err := h.Raw(state, name)
	if err != nil {
		return err
	}
	if len(b) != len(to) {
		return fmt.Errorf("bucket: load %s of %s: %d bytes, not %d", state, name, len(b), len(to))
	}
	copy(to, b)
	return nil
}

// GroupBytes is the size of a state of group u, whether the store holds it or not.
func (s *Store) GroupBytes(state State, u int) (n int64) {
	for _, b := range s.Layout.Groups[u].Buckets {
		n += s.BucketBytes(state, b)
	}
	return n
}

// BucketBytes is the size of a state of bucket b, whether the store holds it or not.
func (s *Store) BucketBytes(state State, b int) int64 {
	return s.types[state].Bytes(int64(s.elements(state, s.Layout.Buckets[b])))
}

// inGroup is where the bytes of a state of p lie among its group's.
func (s *Store) inGroup(state State, p Place) (from, n int64) {
	for _, b := range s.Layout.Groups[s.Layout.Buckets[p.Bucket].Group].Buckets {
		if b == p.Bucket {
			break
		}
		from += s.BucketBytes(state, b)
	}
	t := s.In(nil, state, p.Name)
	return from + t.Offset, t.Bytes()
}

// ReadGroup waits for all recorded work and returns a state of group u, as a Host keeps it.
func (s *Store) ReadGroup(state State, u int) ([]byte, error) {
	var out []byte
	for _, b := range s.Layout.Groups[u].Buckets {
		x, err := s.Engine.Dev.Read(s.buffers(state)[b].RawView()).Wait()
		if err != nil {
			return nil, fmt.Errorf("bucket: read %s of %q: %w", state, s.Layout.Groups[u].Name, err)
		}
		out = append(out, x[:s.BucketBytes(state, b)]...)
	}
	return out, nil
}

// WriteGroup sets a state of group u to the bytes that ReadGroup returned.
func (s *Store) WriteGroup(state State, u int, x []byte) {
	for _, b := range s.Layout.Groups[u].Buckets {
		n := s.BucketBytes(state, b)
		s.Engine.Dev.Write(s.buffers(state)[b].RawView(), x[:n])
		x = x[n:]
	}
}

// Values are the values of group u that its bytes in a state stand for: its buckets one
// after the other, (Size), padding included. Factors have none.
func (s *Store) Values(state State, u int, x []byte) []float32 {
	out := make([]float32, s.Layout.Groups[u].Size)
	for p, at := range s.Layout.PlacesOf(u) {
		from, n := s.inGroup(state, p)
		copy(out[at:], s.Type(state, p.Param).Decode(x[from:from+n]))
	}
	return out
}

// Encode is the inverse of Values, up to the rounding of values that the type does not have.
func (s *Store) Encode(state State, u int, values []float32) []byte {
	out := make([]byte, s.GroupBytes(state, u))
	for p, at := range s.Layout.PlacesOf(u) {
		from, n := s.inGroup(state, p)
		copy(out[from:from+n], s.Type(state, p.Param).Encode(values[at:at+p.Extent()]))
	}
	return out
}
