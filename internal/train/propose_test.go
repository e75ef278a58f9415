package train

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/train/traintest"
)

// wide is a model whose weights take more than a step's activations.
const wide = `{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 128, "intermediate_size": 384,
 "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 258, "max_position_embeddings": 64,
 "rms_norm_eps": 1e-5, "bos_token_id": 256, "eos_token_id": 257, "tie_word_embeddings": true}`

// The less memory a device has, the more is given up, in one order, and each proposal fits when it
// is written into the run file.
func TestPropose(t *testing.T) {
	path := traintest.FamilyRun(t, wide, nil)
	p, err := NewPlanner(load(t, path))
	if err != nil {
		t.Fatal(err)
	}
	tier := func(s map[string]string) int {
		keys := slices.Sorted(maps.Keys(s))
		for i, key := range []string{"model.base_type", "adapter.kind", "optim.in_backward", "model.dtype"} {
			if slices.Contains(keys, key) {
				return 4 - i
			}
		}
		return 0
	}
	seen, last := map[int]bool{}, 0
	budget := int64(64 << 20)
	for ; ; budget = budget * 4 / 5 {
		card := Card{Name: "small", Type: gpu.Discrete, Memory: budget}
		out, err := p.Propose(card)
		if err != nil {
			if !errors.Is(err, gpu.ErrOutOfMemory) || !strings.Contains(err.Error(), "fix: a smaller model") {
				t.Fatal(err)
			}
			break
		}
		if out.Peak > budget || tier(out.Settings) < last || out.Adapter != (tier(out.Settings) > 2) {
			t.Errorf("%d: %+v after tier %d", budget, out, last)
		}
		last = tier(out.Settings)
		if !seen[last] {
			seen[last] = true
			var lines []string
			for k, v := range out.Settings {
				lines = append(lines, fmt.Sprintf("%s=%s", k, v))
			}
			q, err := NewPlanner(load(t, path, lines...))
			if err != nil {
				t.Fatal(err)
			}
			if m, err := q.On(card); err != nil || !m.Fits || m.Peak > budget { // idle buffers are given back where memory is scarce
				t.Errorf("%d with %v: %+v, %v", budget, lines, m, err)
			}
		}
	}
	t.Logf("down to %d bytes: tiers %v", budget, slices.Sorted(maps.Keys(seen)))
	if len(seen) < 4 || !seen[0] || !seen[3] || !seen[4] {
		t.Errorf("tiers %v: the fixture does not test all", seen)
	}
}

// The keys of all proposals are listed, for those who write a run file.
func TestProposedKeys(t *testing.T) {
	p, err := NewPlanner(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range p.smallerRuns() {
		for key := range s.settings() {
			seen[key] = true
		}
	}
	listed := slices.Sorted(slices.Values(ProposedKeys))
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, listed) {
		t.Errorf("settings of proposals are %v, listed are %v", got, listed)
	}
}
