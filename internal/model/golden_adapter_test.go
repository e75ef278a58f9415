package model

import (
	"path/filepath"
	"testing"

	"concord/internal/peft"
)

// The folders in testdata/adapters were written by PEFT (testdata/adapters.py): LoRA on
// all linear maps, some of them stabilised by rank, transposed and fused ones, with a
// head trained whole; with dropout, under masks that PEFT was given; on embeddings and
// heads, tied and not. Logits, loss, gradients and eight steps of AdamW are PEFT's.
func TestGoldenAdapters(t *testing.T) {
	dirs, err := filepath.Glob("testdata/adapters/*")
	if err != nil || len(dirs) != 14 {
		t.Fatalf("golden adapters: %v, %v", dirs, err)
	}
	e := testEngine(t)
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			a, err := peft.ReadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Join(dir, a.Base)
			c, err := ReadConfig(base)
			if err != nil {
				t.Fatal(err)
			}
			c.Adapter = a
			if err := c.CheckAdapter(); err != nil {
				t.Fatal(err)
			}
			w := newWeights(e, c)
			if err := Load(e, base, c, w); err != nil {
				t.Fatal(err)
			}
			if err := LoadAdapter(e, dir, c, w); err != nil {
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
			goldenTrajectory(t, m, w, golden["trajectory"], golden["ids"])
		})
	}
}
