package worker

import (
	"fmt"
	"maps"

	"concord/transport"
)

// feedbackKey names a row of a group; row −1 is the resolved gradient.
type feedbackKey struct{ group, row int }

// wholeRow is the row that is all of a machine's, by any number that it is sent by.
const wholeRow = -2

// quantizeWithFeedback encodes r.values and sets them to the values that the receiver decodes. The rounding
// error of int8 is kept and added to the same row of the next step: error feedback
// (Seide et al., Interspeech 2014; Karimireddy et al., ICML 2019).
func (m *Member) quantizeWithFeedback(r *outRow, c transport.Codec) {
	x := r.values
	key := feedbackKey{r.group, r.row}
	if r.losses != nil {
		key.row = wholeRow
	}
	if c == transport.Int8 {
		m.mu.Lock()
		kept := m.feedback[key]
		m.mu.Unlock()
		if kept != nil {
			sum := make([]float32, len(x))
			for i := range x {
				sum[i] = x[i] + kept[i]
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
		lost := make([]float32, len(x))
		for i := range x {
			if d := x[i] - r.values[i]; d == d { // a NaN is told to the owner, not kept
				lost[i] = d
			}
		}
		m.mu.Lock()
		m.newFeedback[key] = lost
		m.mu.Unlock()
	}
}

// ErrorFeedback is the rounding error of int8 before step n, by name. It must be kept
// besides the weights to go on to the same bits. The values are not copies.
func (m *Member) ErrorFeedback(n int) map[string][]float32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]float32{}
	add := func(from map[feedbackKey][]float32) {
		for k, x := range from {
			out[fmt.Sprintf("%d/%d", k.group, k.row)] = x
		}
	}
	add(m.feedback)
	if n > m.newFeedbackIn {
		add(m.newFeedback)
	}
	return out
}

// SetErrorFeedback has the next step begin with values of ErrorFeedback. Names and
// sizes that are not of this run are passed over.
func (m *Member) SetErrorFeedback(r map[string][]float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.feedback)
	clear(m.newFeedback)
	m.newFeedbackIn = -1
	for name, x := range r {
		var k feedbackKey
		if n, _ := fmt.Sscanf(name, "%d/%d", &k.group, &k.row); n == 2 && k.group >= 0 && k.group < len(m.shape.Groups) &&
			len(x) == m.shape.Groups[k.group] {
			m.feedback[k] = x
		}
	}
}

// startFeedback begins step n, with the mutex: the rounding error of the step before counts
// from now on; where n is done again that of its first attempt is forgotten.
func (m *Member) startFeedback(n int) {
	if n > m.newFeedbackIn {
		maps.Copy(m.feedback, m.newFeedback)
	}
	clear(m.newFeedback)
	m.newFeedbackIn = n
}
