package compare

import (
	"fmt"
	"math"
	"math/rand/v2"

	"concord/internal/study"
)

// Kinds of Rule.
const (
	byTokens     = "tokens"     // ∝ tokens^(1/Value)
	byDifficulty = "difficulty" // ∝ (the base model's bits per byte)^Value
	favour       = "favour"     // Lang's weight is Value times the others'
	random       = "random"     // log-normal, the Index-th draw
)

// Rule makes static weights: one of the ways of setting them by hand that tuned
// scalarisation chooses from. Weights are scaled to sum to one by the objective.
type Rule struct {
	Kind  string  `json:"kind"`
	Value float64 `json:"value,omitempty"`
	Lang  string  `json:"lang,omitempty"`
	Index int     `json:"index,omitempty"` // of the language, or of the draw; 1 is the first
}

// randomSigma is the spread of the random weights' logarithm: a factor of two.
const randomSigma = math.Ln2

// sweep lists the rules that are tried besides uniform weights: shares of the
// data flattened by a temperature, the base model's difficulty up and down, each
// language in turn at twice the others' weight (Kurin et al. 2022,
// arXiv:2201.04122, tune such weights by search). A budget above 0 takes as many
// from the front of the list and goes on with random weights.
func sweep(langs []string, budget int) []Rule {
	out := []Rule{{Kind: byTokens, Value: 1}, {Kind: byDifficulty, Value: 1}, {Kind: byDifficulty, Value: -1}, {Kind: byTokens, Value: 2},
		{Kind: byTokens, Value: 5}}
	if len(langs) > 1 {
		for i, l := range langs {
			out = append(out, Rule{Kind: favour, Value: 2, Lang: l, Index: i + 1})
		}
	}
	if budget == 0 {
		return out
	}
	for i := 1; len(out) < budget; i++ {
		out = append(out, Rule{Kind: random, Index: i})
	}
	return out[:budget]
}

func (r Rule) slug() string {
	switch r.Kind {
	case favour:
		return fmt.Sprintf("favour%d-%s", r.Index, study.Slug(r.Lang))
	case random:
		return fmt.Sprintf("random%d", r.Index)
	}
	if r.Value < 0 {
		return study.Slug(r.Kind + "-minus" + number(-r.Value))
	}
	return study.Slug(r.Kind + number(r.Value))
}

// String is the rule for people.
func (r Rule) String() string {
	switch r.Kind {
	case byTokens:
		if r.Value == 1 {
			return "∝ tokens"
		}
		return fmt.Sprintf("∝ tokens^(1/%s)", number(r.Value))
	case byDifficulty:
		return fmt.Sprintf("∝ difficulty^%s", number(r.Value))
	case favour:
		return fmt.Sprintf("%s × %s", r.Lang, number(r.Value))
	case random:
		return fmt.Sprintf("random %d", r.Index)
	}
	return "uniform"
}

// facts are the counts that rules depend on, by language.
type facts struct {
	langs  []string           // trained on
	tokens map[string]int     // of training data
	steps  int                // of a run on all languages
	base   map[string]float64 // the base model's bits per byte on the validation half; nil where not known
	seed   uint64             // keys the random weights
}

// weights are the rule's, by language.
func (r Rule) weights(f facts) (map[string]float64, error) {
	out := map[string]float64{}
	for i, l := range f.langs {
		switch r.Kind {
		case byTokens:
			out[l] = math.Pow(float64(f.tokens[l]), 1/r.Value)
		case byDifficulty:
			b := f.base[l]
			if !(b > 0) || math.IsInf(b, 0) {
				return nil, fmt.Errorf("the base model's bits per byte of %q are not known: its held-out examples or the first run failed", l)
			}
			out[l] = math.Pow(b, r.Value)
		case favour:
			out[l] = 1
			if l == r.Lang {
				out[l] = r.Value
			}
		case random:
			out[l] = math.Exp(randomSigma * normal(f.seed, uint64(r.Index), uint64(i)))
		}
	}
	return out, nil
}

// normal is a standard normal number, a function of its arguments alone
// (Box–Muller on PCG, so that it does not change with the Go version).
func normal(seed, index, lang uint64) float64 {
	p := rand.NewPCG(seed, index<<32|lang)
	u, v := float64(p.Uint64()>>11)/(1<<53), float64(p.Uint64()>>11)/(1<<53)
	return math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*v)
}
