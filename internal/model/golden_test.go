package model

import (
	"path/filepath"
	"testing"

	"concord/internal/optest"
	"concord/internal/safetensors"
)

// The folders in testdata were written by the reference implementation (see
// testdata/generate.py): a tied float32 model with llama3 scaling in one file,
// and an untied bf16 one with linear scaling in shards.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/config.json")
	if err != nil || len(dirs) != 2 {
		t.Fatalf("golden folders: %v, %v", dirs, err)
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
			m, err := New(e, c, w, Dims{Rows: 1, SeqLen: len(golden["ids"])})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Release()
			goldenLogits(t, m, golden)
			goldenGradients(t, m, golden)
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

func goldenLogits(t *testing.T, m *Llama, golden map[string][]float32) {
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
		v := m.Config.Vocab
		if err := optest.Compare(got, golden["logits"][i*v:(i+1)*v], tolerance); err != nil {
			t.Errorf("logits behind token %d: %v", i, err)
		}
	}
}

func goldenGradients(t *testing.T, m *Llama, golden map[string][]float32) {
	var tokens Tokens
	n := m.n
	for i, id := range golden["ids"] {
		label := uint32(Ignore)
		if i+1 < n {
			label = uint32(golden["ids"][i+1])
		}
		tokens.IDs, tokens.Labels = append(tokens.IDs, uint32(id)), append(tokens.Labels, label)
		tokens.Pos, tokens.Scale = append(tokens.Pos, uint32(i)), append(tokens.Scale, 1/float32(n-1))
		tokens.DocStart, tokens.DocEnd = append(tokens.DocStart, 0), append(tokens.DocEnd, uint32(n))
	}
	b, g := m.NewBatch(), newGradients(t, m.e, m.Config, 1)
	defer b.Release()
	if err := b.Upload(tokens); err != nil {
		t.Fatal(err)
	}
	m.Forward(b)
	m.Backward(b, g, nil)
	nll, err := m.e.Download(m.Loss)
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
	for _, s := range ParamSpecs(m.Config) {
		if err := optest.Compare(g.read(m.e, s.Name, 0), golden["grad."+s.Name], tolerance); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
