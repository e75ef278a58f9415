package model

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"concord/internal/optest"
	"concord/internal/safetensors"
	"concord/tensor"
)

// The folders in testdata were written by the reference implementation: by
// testdata/generate.py a tied float32 Llama with llama3 scaling in one file, and
// an untied bf16 one with linear scaling in shards; by testdata/families.py a
// model of every other family. CONCORD_GOLDEN names a folder with more of them.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/config.json")
	if err != nil || len(dirs) != 2+len(families)-1 {
		t.Fatalf("golden folders: %v, %v", dirs, err)
	}
	if more := os.Getenv("CONCORD_GOLDEN"); more != "" {
		extra, _ := filepath.Glob(filepath.Join(more, "*/config.json"))
		dirs = append(dirs, extra...)
	}
	e := testEngine(t)
	for _, config := range dirs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c, err := ReadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			w := newWeights(e, c)
			if err := Load(e, dir, c, w); err != nil {
				t.Fatal(err)
			}
			golden := readGolden(t, dir)
			m, err := newTransformer(e, c, w, Dims{Rows: 1, SeqLen: len(golden["ids"])})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Release()
			goldenLogits(t, m, golden)
			goldenGradients(t, m, golden)
			if want := golden["trajectory"]; want != nil {
				goldenTrajectory(t, m, w, want, golden["ids"])
			}
		})
	}
}

func readGolden(t *testing.T, dir string) map[string][]float32 {
	r, err := safetensors.Open(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string][]float32{}
	for _, name := range r.Names() {
		if out[name], err = r.ReadFloat32(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func goldenLogits(t *testing.T, m *transformer, golden map[string][]float32) {
	d, err := m.NewDecoder(m.n)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	for i, id := range golden["ids"] {
		got, err := d.Append(uint32(id))
		if err != nil {
			t.Fatal(err)
		}
		v := m.config.Vocab
		if err := optest.Compare(got, golden["logits"][i*v:(i+1)*v], tolerance); err != nil {
			t.Errorf("logits after token %d: %v", i, err)
		}
	}
}

// goldenTokens is ids as one document of which every token but the last is
// supervised, and their mean the objective; it is this row of the run.
func goldenTokens(ids []float32, row int) Tokens {
	var tokens Tokens
	n := len(ids)
	for i, id := range ids {
		label := uint32(Ignore)
		if i+1 < n {
			label = uint32(ids[i+1])
		}
		tokens.IDs, tokens.Labels = append(tokens.IDs, uint32(id)), append(tokens.Labels, label)
		tokens.Pos, tokens.Scale = append(tokens.Pos, uint32(i)), append(tokens.Scale, 1/float32(n-1))
		tokens.DocStart, tokens.DocEnd = append(tokens.DocStart, 0), append(tokens.DocEnd, uint32(n))
		tokens.Numbers = append(tokens.Numbers, uint64(row*n+i))
	}
	return tokens
}

// goldenTrajectory takes as many steps of AdamW as there are losses.
func goldenTrajectory(t *testing.T, m *transformer, w weights, want, ids []float32) {
	b, moments := m.NewBatch(), [2]weights{newWeights(m.e, m.config), newWeights(m.e, m.config)}
	defer b.Release()
	flat := func(x tensor.Tensor) tensor.Tensor { x.C = x.R * x.LD; x.R, x.LD = 1, x.C; return x }
	for k := range want {
		if err := b.Upload(goldenTokens(ids, k)); err != nil {
			t.Fatal(err)
		}
		g := newGradients(t, m.e, m.config, 1)
		m.Forward(b)
		m.Backward(b, g, nil)
		mean := 0.0
		nll, err := m.e.Download(m.loss)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range nll {
			mean += float64(v) / float64(m.n-1)
		}
		if math.Abs(mean-float64(want[k])) > 1e-6*math.Abs(float64(want[k])) {
			t.Errorf("step %d: loss %v, want %v", k+1, mean, want[k])
		}
		for _, s := range ParamSpecs(m.config) {
			if s.Frozen {
				continue
			}
			if grad := g.rows[s.Name].Objective(0); s.C%4 != 0 { // products leave the padding alone
				m.e.Upload(grad, g.read(m.e, s.Name, 0))
			}
			m.e.AdamW(flat(w[s.Name]), flat(moments[0][s.Name]), flat(moments[1][s.Name]), flat(g.rows[s.Name].Objective(0)),
				tensor.AdamWParams{LR: 1e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: int64(k + 1), GradScale: 1})
		}
	}
}

func goldenGradients(t *testing.T, m *transformer, golden map[string][]float32) {
	tokens, n := goldenTokens(golden["ids"], 0), m.n
	b, g := m.NewBatch(), newGradients(t, m.e, m.config, 1)
	defer b.Release()
	if err := b.Upload(tokens); err != nil {
		t.Fatal(err)
	}
	m.Forward(b)
	m.Backward(b, g, nil)
	nll, err := m.e.Download(m.loss)
	if err != nil {
		t.Fatal(err)
	}
	mean := float32(0)
	for _, v := range nll {
		mean += v / float32(n-1)
	}
	if err := optest.Compare([]float32{mean}, golden["loss"], tolerance); err != nil {
		t.Errorf("loss: %v", err)
	}
	tensors := storedTensors(m.config)
	if m.config.Adapter != nil {
		tensors = newNetwork(m.config).adapterStored(m.config)
	}
	for _, s := range tensors {
		for i, want := range s.split(golden["grad."+s.name]) {
			// deeper than the loss by the whole backward
			if err := compareGradient(g.read(m.e, s.parts[i].Name, 0), want, 10*tolerance); err != nil {
				t.Errorf("%s: %v", s.parts[i].Name, err)
			}
		}
	}
}
