package export

import (
	"errors"
	"fmt"
	"slices"

	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/infer"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/tokenizer"
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

// Bounds are, by type, how far logits may be off the model's own: the normalised mean
// squared error. SmolLM2-135M-Instruct, from Q4_1, shows 0, 4.6e-6 (f16), 4.5e-3 (q8_0)
// and 0.74 (q4_0); at 1 logits are no better than their mean. It is the loss of a type,
// stated and bounded roughly; that the file holds the right values is proved apart.
var Bounds = map[string]float64{"f32": 1e-8, "f16": 1e-4, "bf16": 1e-2, "q8_0": 5e-2, "q4_0": 1}

const (
	maxTokens    = 32   // of a text are compared
	greedyTexts  = 3    // texts that are continued
	greedyTokens = 12   // by so many tokens
	sameModel    = 1e-8 // NMSE of one model computed in two ways
)

// Verify compares the model in Written with that in Source.
//
//   - Every parameter of Written has the bits that Source's has after rounding, in
//     memory, to the type of Written's tensor. Nothing is allowed for.
//   - Written, opened from its files, gives the logits of Source rounded in memory: the
//     faults that are left are the configuration's.
//   - How far its logits are off Source's own is stated: the loss of the types.
//
// Without Written it compares an adapter beside its base model with the two merged.
type Verify struct {
	Source, Written string
	Texts           []string // nil = Texts
	Bound           float64  // of the normalised mean squared error; 0 = by the types found
	Device          device.Options
}

// Proof is the result of Verify.
type Proof struct {
	Difference         // of the logits from the model's own
	Parameters int     `json:"parameters"`           // whose stored values have the right bits
	Unproved   int     `json:"unproved,omitempty"`   // of types that concord only reads
	OtherBase  string  `json:"other_base,omitempty"` // that an adapter names: not compared
	Rounded    int     `json:"rounded"`              // parameters that the types have changed
	Stored     *Stored `json:"stored,omitempty"`     // where Rounded or Unproved is not 0
}

// Stored is the difference from the model whose values were rounded in memory.
type Stored struct {
	MaxAbs float64 `json:"max_abs"`
	NMSE   float64 `json:"nmse"`
}

func (p Proof) String() string {
	out := p.Difference.String()
	if p.Parameters > 0 {
		out = fmt.Sprintf("%d parameters have the right bits, %d of them rounded", p.Parameters, p.Rounded) + "; " + out
	}
	if p.Stored != nil {
		out += fmt.Sprintf("; from the model rounded in memory they differ by %.3g at most, NMSE %.3g", p.Stored.MaxAbs,
			p.Stored.NMSE)
	}
	if p.Unproved > 0 {
		out += fmt.Sprintf("; %d parameters are of types that are only read: their values are taken as they are", p.Unproved)
	}
	if p.OtherBase != "" {
		out += fmt.Sprintf("; all with the base model of the source: the adapter names another, %s, which is not compared", p.OtherBase)
	}
	return out
}

// Run compares. An error that wraps fault.ErrData names the thing that differs: a
// parameter, the logits by more than the bound, or the tokens of a text.
func (v Verify) Run() (Proof, error) {
	v.Texts = slices.Clone(v.Texts)
	if len(v.Texts) == 0 {
		v.Texts = Texts
	}
	s, err := openSource(v.Source)
	if err != nil {
		return Proof{}, err
	}
	defer s.close()
	if v.Written == "" {
		return v.merged(s)
	}
	a, err := openArtefact(v.Written, s)
	if err != nil {
		return Proof{}, fault.Data(fmt.Errorf("%s: %w", v.Written, err))
	}
	defer a.close()
	return v.compare(s, a)
}

// NoAdapter says that there are no two forms of the model to compare.
func NoAdapter(name string) error {
	return fault.Data(fmt.Errorf("%s has no adapter: there is nothing to merge\n  fix: name a file or folder that was made of it", name))
}

// merged compares the adapter beside its base model with the two merged.
func (v Verify) merged(s *source) (Proof, error) {
	if s.adapter == nil {
		return Proof{}, NoAdapter(v.Source)
	}
	ids, err := v.tokens(s.tokenizer, nil, s.config.MaxPositions)
	if err != nil {
		return Proof{}, err
	}
	want, err := v.of(ids, func() (*infer.Model, error) { return infer.OpenValues(s.adapted, s.unmerged, v.Device, 1, 2) })
	if err != nil {
		return Proof{}, err
	}
	got, err := v.of(ids, func() (*infer.Model, error) { return infer.OpenValues(s.config, s.values, v.Device, 1, 2) })
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Difference: compare(want, got, ids)}
	if p.Bound = v.Bound; p.Bound == 0 {
		p.Bound = sameModel
	}
	if !(p.NMSE <= p.Bound) {
		return p, fault.Data(fmt.Errorf("%s: the merged model differs from the adapter beside its base model: %v", v.Source, p))
	}
	return p, nil
}

func (v Verify) compare(s *source, a *artefact) (Proof, error) {
	p, err := v.stored(s, a)
	if err != nil {
		return p, err
	}
	var tok *tokenizer.Tokenizer
	if !a.adapter {
		if _, tok, err = modeldir.Open(v.Written); err != nil {
			return p, err
		}
	}
	ids, err := v.tokens(s.tokenizer, tok, s.config.MaxPositions)
	if err != nil {
		return p, err
	}
	want, got, err := v.both(ids, a)
	if err != nil {
		return p, err
	}
	p.Difference, p.OtherBase = compare(want, got, ids), a.otherBase
	if p.Bound = v.Bound; p.Bound == 0 {
		if p.Bound = sameModel; p.Rounded+p.Unproved > 0 {
			p.Bound = 1
		}
	}
	if p.Rounded+p.Unproved > 0 {
		if err := v.sameAsRounded(&p, s, a, ids, got); err != nil {
			return p, err
		}
	}
	if !(p.NMSE <= p.Bound) { // also when it is not a number
		return p, fault.Data(fmt.Errorf("%s differs from the model it was made of: %v", v.Written, p))
	}
	return p, nil
}

// both are the words of the source and of the artefact, each from its files.
func (v Verify) both(ids [][]uint32, a *artefact) (want, got said, err error) {
	want, err = v.of(ids, func() (*infer.Model, error) { return infer.Open(v.Source, v.Device, 1, 2) })
	if err != nil {
		return want, got, err
	}
	got, err = v.of(ids, func() (*infer.Model, error) {
		if a.adapter {
			return infer.OpenValues(a.config, a.values, v.Device, 1, 2)
		}
		return infer.Open(v.Written, v.Device, 1, 2)
	})
	return want, got, err
}

// sameAsRounded compares the file's model with the source's configuration on values
// that were rounded in memory, or are the file's where their type is only read.
func (v Verify) sameAsRounded(p *Proof, s *source, a *artefact, ids [][]uint32, got said) error {
	c, read := s.expected(a)
	rounded := func(name string) ([]float32, error) {
		if a.adapter && s.adapter[name] == nil {
			return read(name)
		}
		values, err := read(name)
		if err != nil {
			return nil, err
		}
		out, known, err := a.rounded(name, values)
		if err != nil || known {
			return out, err
		}
		return a.values(name)
	}
	memory, err := v.of(ids, func() (*infer.Model, error) { return infer.OpenValues(c, rounded, v.Device, 1, 2) })
	if err != nil {
		return err
	}
	d := compare(memory, got, ids)
	p.Stored = &Stored{MaxAbs: d.MaxAbs, NMSE: d.NMSE}
	if !(d.NMSE <= sameModel) {
		return fault.Data(fmt.Errorf("%s has the right values, and computes something else with them: from the model "+
			"rounded in memory to its types its logits differ by %.3g at most, NMSE %.3g: its configuration is another",
			v.Written, d.MaxAbs, d.NMSE))
	}
	return nil
}

// expected is the model that the artefact should hold before it is rounded.
func (s *source) expected(a *artefact) (model.Config, func(name string) ([]float32, error)) {
	if a.adapter {
		return s.adapted, s.unmerged
	}
	return s.config, s.values
}

// stored compares every parameter with the source's, rounded in memory.
func (v Verify) stored(s *source, a *artefact) (Proof, error) {
	var p Proof
	c, read := s.expected(a)
	for _, spec := range model.ParamSpecs(c) {
		if a.adapter && s.adapter[spec.Name] == nil {
			continue
		}
		values, err := read(spec.Name)
		if err != nil {
			return p, fault.Data(err)
		}
		want, known, err := a.rounded(spec.Name, values)
		if err != nil {
			return p, fault.Data(fmt.Errorf("%s: %w", v.Written, err))
		}
		if !known {
			p.Unproved++
			continue
		}
		got, err := a.values(spec.Name)
		if err != nil {
			return p, fault.Data(fmt.Errorf("%s differs from the model it was made of: %s cannot be read: %w",
				v.Written, spec.Name, err))
		}
		if n, most := model.Differ(want, got); n > 0 {
			return p, fault.Data(fmt.Errorf("%s differs from the model it was made of: %d of the %d values of %s have other "+
				"bits than the model's rounded to its type, by %.3g at most", v.Written, n, len(want), spec.Name, most))
		}
		if n, _ := model.Differ(want, values); n > 0 {
			p.Rounded++
		}
		p.Parameters++
	}
	return p, nil
}

// tokens are the texts' ids, the same by both tokenizers; written is nil where the
// artefact has none.
func (v Verify) tokens(source, written *tokenizer.Tokenizer, longest int) ([][]uint32, error) {
	var out [][]uint32
	for _, text := range v.Texts {
		a, err := source.Encode(text, true)
		if err != nil { // a vocabulary that cannot express the text
			continue
		}
		if written != nil {
			b, err := written.Encode(text, true)
			if err != nil || !slices.Equal(a, b) {
				return nil, fault.Data(fmt.Errorf("%s splits the text %q into the tokens %v (%v), the model it was made of "+
					"into %v", v.Written, text, b, err, a))
			}
		}
		if n := min(len(a), maxTokens, longest); n > 0 {
			out = append(out, a[:n])
		}
	}
	if len(out) == 0 {
		return nil, fault.Data(errors.New("none of the texts can be written in the model's vocabulary: nothing can " +
			"be compared"))
	}
	return out, nil
}

// said are a model's words: the logits after every token of every text, and how it
// continues some of them.
type said struct {
	logits [][]float32
	greedy [][]uint32
}

// of asks a model, and closes it.
func (v Verify) of(texts [][]uint32, open func() (*infer.Model, error)) (said, error) {
	m, err := open()
	if err != nil {
		return said{}, err
	}
	defer m.Close()
	var out said
	for i, ids := range texts {
		rows, err := m.Logits(ids)
		if err != nil {
			return said{}, err
		}
		out.logits = append(out.logits, rows...)
		if n := min(greedyTokens, m.Config.MaxPositions-len(ids)); i < greedyTexts && n > 0 {
			more, err := m.Greedy(ids, n)
			if err != nil {
				return said{}, err
			}
			out.greedy = append(out.greedy, more)
		}
	}
	return out, nil
}
