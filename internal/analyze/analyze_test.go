package analyze

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// cloud is n examples of each of m languages in d dimensions, standard normal,
// moved by shift(language, dimension).
func cloud(n, m, d int, seed uint64, shift func(lang, k int) float64) Cloud {
	r := rand.New(rand.NewPCG(seed, 1))
	c := Cloud{M: m}
	for i := range n * m {
		row := make([]float64, d)
		for k := range row {
			row[k] = r.NormFloat64() + shift(i%m, k)
		}
		c.X, c.Labels = append(c.X, row), append(c.Labels, i%m)
	}
	return c
}

func none(int, int) float64 { return 0 }

func measure(t *testing.T, c Cloud) Layer {
	t.Helper()
	l, err := Measure(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Without a difference the probe is at chance, hardly a dimension is specific,
// and the permutation null holds its level.
func TestNull(t *testing.T) {
	above, dims, accuracy := 0, 0, 0.0
	for seed := range uint64(5) {
		l := measure(t, cloud(60, 4, 50, seed, none))
		accuracy += l.Accuracy / 5
		if len(l.Specific) != 0 || l.Fisher > 0.03 {
			t.Errorf("seed %d: specific %v, Fisher %v", seed, l.Specific, l.Fisher)
		}
		for _, e := range l.Eta2 {
			dims++
			if e > l.Null {
				above++
			}
		}
	}
	if accuracy < 0.2 || accuracy > 0.3 {
		t.Errorf("accuracy %v, chance is 0.25", accuracy)
	}
	if above > 3 { // of 250 at 0.1 %
		t.Errorf("%d of %d dimensions above the null", above, dims)
	}
}

// One dimension moves for one language: it is found, with its language and the
// share of variance that can be computed: (¾·¼·9)/(¾·¼·9 + 1).
func TestOneSpecificDimension(t *testing.T) {
	l := measure(t, cloud(200, 4, 30, 3, func(lang, k int) float64 {
		if lang == 2 && k == 7 {
			return 3
		}
		return 0
	}))
	if len(l.Specific) != 1 || l.Specific[0] != 7 || l.ByLang[2] != 1 {
		t.Errorf("specific %v, by language %v", l.Specific, l.ByLang)
	}
	if want := 9 * 3. / 16 / (9*3./16 + 1); math.Abs(l.Eta2[7]-want) > 0.04 {
		t.Errorf("η² %v, want about %v", l.Eta2[7], want)
	}
	if l.Accuracy < 0.4 || l.Accuracy > 0.6 { // language 2 is told from the others, which are not told apart
		t.Errorf("accuracy %v", l.Accuracy)
	}
}

// Clouds far apart are told apart, also where there are more dimensions than
// examples; the ratio of the scatters is that of the shifts.
func TestSeparable(t *testing.T) {
	far := func(lang, k int) float64 {
		if k == lang {
			return 10
		}
		return 0
	}
	for _, d := range []int{5, 200} {
		l := measure(t, cloud(12, 3, d, 1, far))
		if l.Accuracy != 1 || l.ByLang[0]+l.ByLang[1]+l.ByLang[2] != len(l.Specific) || len(l.Specific) < 3 {
			t.Errorf("d=%d: accuracy %v, specific %v", d, l.Accuracy, l.Specific)
		}
	}
	l := measure(t, cloud(500, 2, 4, 1, func(lang, k int) float64 { return float64(2 * lang) }))
	if math.Abs(l.Fisher-1) > 0.1 || math.Abs(l.Means[1]+1) > 1e-9 {
		t.Errorf("Fisher %v, want about 1; cosine of two centred means %v, want −1", l.Fisher, l.Means[1])
	}
}

func TestCKA(t *testing.T) {
	x := cloud(100, 2, 6, 1, none).X
	rotated := make([][]float64, len(x)) // by 90° in a plane, times three, moved
	for i, r := range x {
		rotated[i] = []float64{-3*r[1] + 5, 3 * r[0], 3 * r[2], 3 * r[3], 3 * r[4], 3 * r[5]}
	}
	if c := CKA(x, rotated); math.Abs(c-1) > 1e-12 {
		t.Errorf("rotated: %v", c)
	}
	if c := CKA(x, cloud(100, 2, 6, 2, none).X); c > 0.15 {
		t.Errorf("unrelated: %v", c)
	}
}

func TestRefuses(t *testing.T) {
	ok := cloud(20, 2, 3, 1, none)
	nan := cloud(20, 2, 3, 1, none)
	nan.X[5][1] = math.NaN()
	for want, c := range map[string]Cloud{
		"at least 10": cloud(9, 2, 3, 1, none), "two languages": {X: ok.X, Labels: make([]int, len(ok.X)), M: 1}, "not finite": nan,
	} {
		if _, err := Measure(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Compare([]string{"a", "b"}, ok.Labels, [][][]float64{ok.X},
		[][][]float64{cloud(20, 2, 4, 1, none).X}); err == nil || !strings.Contains(err.Error(), "hidden sizes 3 and 4") {
		t.Errorf("sizes: %v", err)
	}
	still := Cloud{X: make([][]float64, 40), Labels: ok.Labels, M: 2} // a collapsed model
	for i := range still.X {
		still.X[i] = make([]float64, 3)
	}
	if l := measure(t, still); l.Accuracy != 0 || l.Fisher != 0 || len(l.Specific) != 0 {
		t.Errorf("collapsed: %+v", l)
	}
}

func TestCompare(t *testing.T) {
	shift := func(lang, k int) float64 {
		if k == lang {
			return 4
		}
		return 0
	}
	a, b := cloud(30, 3, 8, 1, none), cloud(30, 3, 8, 1, shift)
	r, err := Compare([]string{"x", "y", "z"}, a.Labels, [][][]float64{a.X, b.X}, [][][]float64{a.X, a.X})
	if err != nil {
		t.Fatal(err)
	}
	if r.Layers[0].CKA < 1-1e-9 || r.Layers[1].Base.Accuracy < 0.9 || r.Layers[1].Tuned.Accuracy > 0.6 || r.Layers[1].Shared() != 0 {
		t.Errorf("layers %+v", r.Layers)
	}
	f := r.File()
	if len(f.Tables) != 2 || len(f.Tables[0].Rows) != 2 || len(f.Tables[0].Rows[1]) != len(f.Tables[0].Columns) ||
		len(f.Lines) != 3 || f.Lines[2].Series[0].Y[1] != float64(len(r.Layers[1].Base.Specific)) {
		t.Errorf("file %+v", f)
	}
}
