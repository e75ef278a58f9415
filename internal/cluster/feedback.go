package cluster

import (
	"fmt"
	"maps"

	"concord/transport"
)

// residueKey names a row of a unit; row −1 is the resolved gradient.
type residueKey struct{ unit, row int }

// wholeRow is the row that is all of a machine's, whichever number it is sent by.
const wholeRow = -2

// round encodes r.values and sets them to what the receiver decodes. What int8
// rounds away is kept and added to the same row of the next step: error feedback
// (Seide et al., Interspeech 2014; Karimireddy et al., ICML 2019).
func (m *Member) round(r *outRow, c transport.Codec) {
	x := r.values
	key := residueKey{r.unit, r.row}
	if r.losses != nil {
		key.row = wholeRow
	}
	if c == transport.Int8 {
		m.mu.Lock()
		rest := m.residue[key]
		m.mu.Unlock()
		if rest != nil {
			sum := make([]float32, len(x))
			for i := range x {
				sum[i] = x[i] + rest[i]
			}
			x = sum
		}
	}
	r.data = c.Encode(x)
	r.values = make([]float32, len(x))
	if err := c.Decode(r.values, r.data); err != nil {
		panic("cluster: what was encoded cannot be decoded: " + err.Error())
	}
	if c == transport.Int8 {
		rest := make([]float32, len(x))
		for i := range x {
			if d := x[i] - r.values[i]; d == d { // a NaN is told to the owner, not kept
				rest[i] = d
			}
		}
		m.mu.Lock()
		m.rounded[key] = rest
		m.mu.Unlock()
	}
}

// Remainder is what int8 has rounded away before step n, by name: what must be kept
// besides the weights to go on to the same bits. The values are not copies.
func (m *Member) Remainder(n int) map[string][]float32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]float32{}
	add := func(from map[residueKey][]float32) {
		for k, x := range from {
			out[fmt.Sprintf("%d/%d", k.unit, k.row)] = x
		}
	}
	add(m.residue)
	if n > m.roundedIn {
		add(m.rounded)
	}
	return out
}

// SetRemainder has the next step begin with what Remainder returned. Names and
// sizes that are not of this run are passed over.
func (m *Member) SetRemainder(r map[string][]float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.residue)
	clear(m.rounded)
	m.roundedIn = -1
	for name, x := range r {
		var k residueKey
		if n, _ := fmt.Sscanf(name, "%d/%d", &k.unit, &k.row); n == 2 && k.unit >= 0 && k.unit < len(m.shape.Units) && len(x) == m.shape.Units[k.unit] {
			m.residue[k] = x
		}
	}
}

// turn begins step n, with the mutex: what the step before rounded away counts from
// now on; where n is done again what its first attempt did is forgotten.
func (m *Member) turn(n int) {
	if n > m.roundedIn {
		maps.Copy(m.residue, m.rounded)
	}
	clear(m.rounded)
	m.roundedIn = n
}
