package export

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/infer"
	"concord/internal/modeldir"
)

// Texts are compared where there are no others: short ones in several scripts.
var Texts = []string{
	"All human beings are born free and equal in dignity and rights.",
	"Todos los seres humanos nacen libres e iguales en dignidad y derechos, 1948.",
	"Все люди рождаются свободными и равными в своем достоинстве и правах.",
	"人人生而自由,在尊严和权利上一律平等。",
	"सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
	"يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
	"Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.",
	"def f(x):\n    return 2 * x + 1",
}

// Bounds are, by type, how far logits may be off: the normalised mean squared error.
// SmolLM2-135M-Instruct, from Q4_1, shows 0, 4.6e-6 (f16), 4.5e-3 (q8_0) and 0.74 (q4_0);
// at 1 logits are no better than their mean.
var Bounds = map[string]float64{"f32": 1e-8, "f16": 1e-4, "bf16": 1e-2, "q8_0": 5e-2, "q4_0": 1}

// maxTokens of a text are compared.
const maxTokens = 32

// Verify compares the model in Written with that in Source: both are read from their
// files and run on the device, one after the other.
type Verify struct {
	Source, Written string
	Texts           []string // nil = Texts
	Bound           float64  // of the normalised mean squared error
	Device          device.Options
}

// Difference is the result of Verify.
type Difference struct {
	Texts  int     `json:"texts"`
	Tokens int     `json:"tokens"`  // all of their logits were compared
	MaxAbs float64 `json:"max_abs"` // of a logit
	NMSE   float64 `json:"nmse"`    // Σ(a − b)² / Σ(a − mean a)², by token
	Bound  float64 `json:"bound"`   // of nmse
	Agree  float64 `json:"agree"`   // share of tokens after which the likeliest token is the same
}

func (d Difference) String() string {
	return fmt.Sprintf("%d texts, %d tokens: a logit differs by %.3g at most, NMSE %.3g (allowed %.3g), the likeliest "+
		"next token is the same after %.1f%%",
		d.Texts, d.Tokens, d.MaxAbs, d.NMSE, d.Bound, 100*d.Agree)
}

// Run compares. An error that wraps fault.ErrData says that the two differ by more than
// the bound, or split texts into other tokens.
func (v Verify) Run() (Difference, error) {
	v.Texts = slices.Clone(v.Texts)
	if len(v.Texts) == 0 {
		v.Texts = Texts
	}
	ids, err := v.tokens()
	if err != nil {
		return Difference{}, err
	}
	want, err := v.logits(v.Source, ids)
	if err != nil {
		return Difference{}, err
	}
	got, err := v.logits(v.Written, ids)
	if err != nil {
		return Difference{}, err
	}
	d := compare(want, got)
	d.Texts, d.Bound = len(ids), v.Bound
	if !(d.NMSE <= v.Bound) { // also when it is not a number
		return d, fault.Data(fmt.Errorf("%s differs from the model it was made of: %v", v.Written, d))
	}
	return d, nil
}

// tokens are the texts' ids, the same by both tokenizers.
func (v Verify) tokens() ([][]uint32, error) {
	c, source, err := modeldir.Open(v.Source)
	if err != nil {
		return nil, err
	}
	_, written, err := modeldir.Open(v.Written)
	if err != nil {
		return nil, err
	}
	var out [][]uint32
	for _, text := range v.Texts {
		a, err := source.Encode(text, true)
		if err != nil { // a vocabulary that cannot express the text
			continue
		}
		b, err := written.Encode(text, true)
		if err != nil || !slices.Equal(a, b) {
			return nil, fault.Data(fmt.Errorf("%s splits the text %q into the tokens %v (%v), the model it was made of into %v", v.Written,
				text, b, err, a))
		}
		if len(a) > 0 {
			out = append(out, a[:min(len(a), maxTokens, c.MaxPositions)])
		}
	}
	if len(out) == 0 {
		return nil, fault.Data(errors.New("none of the texts can be written in the model's vocabulary: nothing can be compared"))
	}
	return out, nil
}

// logits of every token of every text.
func (v Verify) logits(path string, texts [][]uint32) ([][]float32, error) {
	m, err := infer.Open(path, v.Device, 1, 2)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var out [][]float32
	for _, ids := range texts {
		rows, err := m.Logits(ids)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// compare makes the figures of two lists of rows of equal widths.
func compare(want, got [][]float32) Difference {
	d := Difference{Tokens: len(want)}
	wrong, all, agree := 0.0, 0.0, 0
	for i, a := range want {
		b, mean := got[i], 0.0
		for _, x := range a {
			mean += float64(x) / float64(len(a))
		}
		for k, x := range a {
			diff := float64(x) - float64(b[k])
			d.MaxAbs = max(d.MaxAbs, math.Abs(diff))
			wrong += diff * diff
			all += (float64(x) - mean) * (float64(x) - mean)
		}
		if likeliest(a) == likeliest(b) {
			agree++
		}
	}
	d.NMSE, d.Agree = wrong/all, float64(agree)/float64(max(len(want), 1))
	if wrong == 0 {
		d.NMSE = 0
	}
	return d
}

func likeliest(x []float32) int {
	best := 0
	for i := range x {
		if cmp.Compare(x[i], x[best]) > 0 {
			best = i
		}
	}
	return best
}
