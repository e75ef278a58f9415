package model

import (
	"errors"
	"math"
	"strings"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

// oneDocument is ids as a reference batch.
func oneDocument(ids []uint32) ref.DecoderBatch {
	var b ref.DecoderBatch
	for i, id := range ids {
		label := -1
		if i+1 < len(ids) {
			label = int(ids[i+1])
		}
		b.IDs, b.Labels = append(b.IDs, int(id)), append(b.Labels, label)
		b.Pos, b.DocStart = append(b.Pos, i), append(b.DocStart, 0)
	}
	return b
}

func TestDecoder(t *testing.T) {
	e := testEngine(t)
	for name, c := range models() {
		t.Run(name, func(t *testing.T) { checkDecoder(t, newSetupOf(t, e, c, 1)) })
	}
}

func checkDecoder(t *testing.T, s *setup) {
	ids := []uint32{3, 1, 36, 7, 7, 0, 12, 5, 30}
	l := reference(s.c, s.params)
	logits := float32s(l.Logits(oneDocument(ids)))
	want := func(i int) []float32 { return logits[i*s.c.Vocab : (i+1)*s.c.Vocab] }

	d, err := s.m.NewDecoder(len(ids))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	d.chunk = 3 // prefill in chunks of 3, 2
	for at, n := range []int{5, 1, 1, 2} {
		got, err := d.Append(ids[d.Len() : d.Len()+n]...)
		if err != nil {
			t.Fatal(err)
		}
		if err := optest.Compare(got, want(d.Len()-1), tolerance); err != nil {
			t.Errorf("append %d, context of %d: %v", at, d.Len(), err)
		}
	}
	if _, err := d.Append(1); !errors.Is(err, ErrContextFull) {
		t.Errorf("a full context: %v", err)
	}
	d.Truncate(4)
	got, err := d.Append(ids[4:6]...)
	if err != nil {
		t.Fatal(err)
	}
	if err := optest.Compare(got, want(5), tolerance); err != nil {
		t.Errorf("after truncation: %v", err)
	}
	if _, err := d.Append(37); err == nil || !strings.Contains(err.Error(), "vocabulary") {
		t.Errorf("an id outside of the vocabulary: %v", err)
	}
	if _, err := d.Append(); err == nil {
		t.Error("an empty prompt is accepted")
	}
	if _, err := s.m.NewDecoder(65); err == nil || !strings.Contains(err.Error(), "max_position_embeddings") {
		t.Errorf("a context beyond the model's: %v", err)
	}
}

func TestScore(t *testing.T) {
	s := newSetup(t, false, 3)
	ids := []uint32{3, 1, 36, 7, 7, 0, 12}
	got, err := s.m.Score(ids)
	if err != nil {
		t.Fatal(err)
	}
	want := reference(s.c, s.params).Loss(oneDocument(ids))
	if err := optest.Compare(got, float32s(want[:len(ids)-1]), tolerance); err != nil {
		t.Error(err)
	}
	if v, err := s.m.Score(ids[:1]); err != nil || len(v) != 0 {
		t.Errorf("one id: %v, %v", v, err)
	}
	if _, err := s.m.Score(make([]uint32, 12)); err == nil {
		t.Error("12 ids in a model for 11 are accepted")
	}
	if _, err := s.m.Score([]uint32{1, 99}); err == nil || !strings.Contains(err.Error(), "token 0 has label 99") {
		t.Errorf("an id outside of the vocabulary: %v", err)
	}
	for _, v := range got {
		if math.IsNaN(float64(v)) || v <= 0 {
			t.Errorf("negative log-likelihoods %v", got)
		}
	}
}

func TestUploadRefusals(t *testing.T) {
	s := newSetup(t, true, 3)
	for _, c := range []struct {
		change func(*Tokens)
		want   string
	}{
		{func(t *Tokens) { t.IDs = t.IDs[:32] }, "32 ids"},
		{func(t *Tokens) { t.IDs[4] = 37 }, "token 4 has id 37"},
		{func(t *Tokens) { t.Labels[4] = 37 }, "token 4 has label 37"},
		{func(t *Tokens) { t.Pos[4] = 11 }, "position 11"},
		{func(t *Tokens) { t.DocStart[4] = 5 }, "token 4 is not in its document"},
		{func(t *Tokens) { t.DocStart[5] = 3 }, "token 5 is in document [3, 10), but token 4 in [4, 10)"},
		{func(t *Tokens) { t.DocEnd[5] = 9 }, "token 5 is in document [4, 9), but token 4 in [4, 10)"},
		{func(t *Tokens) { t.DocStart[4] = 3 }, "token 4 is in document [3, 10), but the document before ends there"},
		{func(t *Tokens) { t.Starts = []int{0, 12, 22, 33} }, "objective 1 starts at token 12, inside document [11, 22)"},
		{func(t *Tokens) { t.DocEnd[4] = 4 }, "token 4 is not in its document"},
		{func(t *Tokens) { t.DocEnd[32] = 34 }, "token 32 is not in its document"},
		{func(t *Tokens) { t.Starts = []int{0, 33} }, "objectives"},
		{func(t *Tokens) { t.Starts = []int{0, 22, 11, 33} }, "ascending"},
	} {
		tokens := packed(s.c)
		c.change(&tokens)
		if err := s.b.Upload(tokens); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
