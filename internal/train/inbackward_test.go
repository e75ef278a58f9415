package train

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/step"
	"concord/internal/train/traintest"
)

// rawStates are states of a trainer, all without a name, as they lie in memory.
func rawStates(t testing.TB, tr *Trainer, states ...bucket.State) map[string]string {
	t.Helper()
	return statesIn(t, tr, tr.Store, states...)
}

// statesIn are such states as src has them.
func statesIn(t testing.TB, tr *Trainer, src step.Source, states ...bucket.State) map[string]string {
	t.Helper()
	out := map[string]string{}
	if len(states) == 0 {
		states = tr.States()
	}
	for _, p := range device.Params(tr.Arch) {
		for _, s := range states {
			if _, trained := tr.Store.Layout.Place(p.Name); s != bucket.Weight && !trained {
				continue
			}
			b, err := src.Raw(s, p.Name)
			if err != nil {
				t.Fatal(err)
			}
			out[string(s)+"/"+p.Name] = string(b)
		}
	}
	return out
}

func sameStates(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d states, want %d", what, len(got), len(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s has other bits", what, name)
			return
		}
	}
}

// Without clipping, an update in the backward pass gives the states of one at its end,
// to the bit: for every kind of method, scope, element type and model.
func TestInBackwardIsTheSameUpdate(t *testing.T) {
	traintest.RequireAdapter(t)
	settings := map[string][]string{
		"mean":          {"objective.method=mean"},
		"tensor":        {"objective.method=mean", "objective.scope=tensor"},
		"pcgrad":        {"objective.method=pcgrad", "objective.gram=rows"},
		"in flight":     {"objective.method=mgda", "objective.gram=rows", "objective.scope=tensor", "objective.in_flight=3"},
		"ghost":         {"objective.method=mgda", "objective.gram=ghost", "model.dtype=bf16", "optim.moments=int8"},
		"global":        {"objective.method=upgrad", "objective.scope=global"},
		"packed":        {"objective.method=pcgrad", "objective.scope=1MB", "model.dtype=bf16", "optim.moments=bf16"},
		"elements":      {"objective.method=graddrop", "objective.scope=layer"},
		"losses":        {"objective.method=famo"},
		"metric":        {"objective.method=pcgrad", "objective.metric=adam", "objective.scope=tensor"},
		"warm-up":       {"objective.method=pcgrad", "objective.warmup=2", "objective.in_flight=2", "objective.scope=tensor"},
		"halves":        {"objective.method=pcgrad", "objective.noise.halves=true", "batch.rows=6"},
		"frozen":        {"objective.method=pcgrad", `model.freeze=["*layers.0.*", "*embed*"]`},
		"factored":      {"objective.method=pcgrad", "optim.name=adafactor", "model.dtype=bf16"},
		"factored mean": {"objective.method=mean", "optim.name=adafactor"},
		"adapter":       {"objective.method=pcgrad", "adapter.kind=lora", "adapter.rank=4", "adapter.save=embed_tokens", "objective.scope=tensor"},
		"dora":          {"objective.method=pcgrad", "adapter.kind=lora", "adapter.rank=4", "adapter.dora=true", "objective.scope=tensor"},
		"packed lora":   {"objective.method=mean", "adapter.kind=lora", "adapter.rank=4", "adapter.dora=true", "model.dtype=bf16", "optim.moments=int8"},
		"checkpoint":    {"objective.method=pcgrad", "memory.checkpointing=true"},
	}
	runs := map[string]string{"llama": traintest.Run(t, nil), "untied": traintest.UntiedRun(t, nil)}
	for model, file := range runs {
		for name, overrides := range settings {
			t.Run(model+" "+name, func(t *testing.T) { sameInBackward(t, file, overrides) })
		}
	}
	for name, text := range familyConfigs {
		t.Run(name, func(t *testing.T) {
			sameInBackward(t, traintest.FamilyRun(t, text, nil), []string{"objective.method=pcgrad", "objective.scope=tensor"})
		})
	}
}

func sameInBackward(t *testing.T, file string, overrides []string) {
	t.Helper()
	run := func(on bool) ([]float64, map[string]string) {
		tr := open(t, load(t, file, append(slices.Clone(overrides), fmt.Sprint("optim.in_backward=", on), "optim.clip=0",
			"optim.lr=0.01", "schedule.warmup=0")...))
		return steps(t, tr, 3), rawStates(t, tr)
	}
	losses, want := run(false)
	again, got := run(true)
	if !slices.Equal(losses, again) {
		t.Errorf("losses %v, in the backward pass %v", losses, again)
	}
	sameStates(t, "in the backward pass", got, want)
}

// A value that is not finite, found in the lowest layer when all others are updated,
// leaves every state as it was, and a run that is mended goes on as if it had not been.
func TestInBackwardNonFinite(t *testing.T) {
	for _, overrides := range [][]string{
		{"objective.method=pcgrad"}, {"objective.method=mean"}, {"objective.method=graddrop"},
		{"objective.method=pcgrad", "model.dtype=bf16", "optim.moments=int8"}, {"objective.method=pcgrad", "objective.warmup=5"},
	} {
		t.Run(fmt.Sprint(overrides), func(t *testing.T) {
			overrides := append(overrides, "optim.in_backward=true", "optim.lr=0.01", "schedule.warmup=0")
			tr, other := open(t, tiny(t, overrides...)), open(t, tiny(t, overrides...))
			steps(t, tr, 2)
			steps(t, other, 2)
			healthy := rawStates(t, tr)
			// The products of both stay as they are, but the gradient of the second overflows.
			scaleWeight(t, tr, "model.layers.0.self_attn.v_proj.weight", 0x1p83)
			scaleWeight(t, tr, "model.layers.0.self_attn.o_proj.weight", 0x1p-83)
			before := rawStates(t, tr)
			if _, err := tr.Step(t.Context()); !errors.Is(err, ErrDiverged) {
				t.Fatalf("the step says %v", err)
			}
			sameStates(t, "after the step that failed", rawStates(t, tr), before)
			for name, b := range healthy {
				state, param, _ := strings.Cut(name, "/")
				if err := tr.Store.LoadRaw(bucket.State(state), param, []byte(b)); err != nil {
					t.Fatal(err)
				}
			}
			steps(t, tr, 1)
			steps(t, other, 1)
			sameStates(t, "mended", rawStates(t, tr), rawStates(t, other))
		})
	}
}

// The values of one language alone are not finite: groups with a Gram leave it out, those
// of static weights cannot, and nothing is kept whichever of them comes last.
func TestInBackwardNonFiniteOverride(t *testing.T) {
	traintest.RequireAdapter(t)
	for _, match := range []string{"*layers*", "*embed*"} {
		file := traintest.UntiedRun(t, map[string]string{"batch": "seq_len = 32"})
		traintest.WriteFile(t, filepath.Join(filepath.Dir(file), "aa.jsonl"), strings.ReplaceAll(traintest.Examples(0, 0, 18), `" `, `" ~`))
		cfg := load(t, file, "objective.method=pcgrad", "optim.in_backward=true", "optim.lr=0.01", "schedule.warmup=0")
		cfg.Objective.Override = []config.Override{{Match: match, Method: config.MethodMean}}
		tr := open(t, cfg)
		steps(t, tr, 2)
		ids, err := tr.corpus.Tokenizer.Encode("~", false)
		if err != nil || len(ids) != 1 {
			t.Fatal(ids, err)
		}
		const name = "model.embed_tokens.weight"
		v, err := tr.Store.Read(bucket.Weight, name)
		if err != nil {
			t.Fatal(err)
		}
		v[int(ids[0])*tr.Arch.Hidden] = float32(math.NaN())
		if err := tr.Store.Load(bucket.Weight, name, v); err != nil {
			t.Fatal(err)
		}
		before := rawStates(t, tr)
		if _, err := tr.Step(t.Context()); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: the step says %v", match, err)
		}
		sameStates(t, match, rawStates(t, tr), before)
	}
}

func scaleWeight(t testing.TB, tr *Trainer, name string, by float32) {
	t.Helper()
	v, err := tr.Store.Read(bucket.Weight, name)
	if err == nil {
		for i := range v {
			v[i] *= by
		}
		err = tr.Store.Load(bucket.Weight, name, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The first step clips each group by itself, later ones by the norm of the step before.
func TestInBackwardClips(t *testing.T) {
	const clip = 0.05
	for _, method := range []string{"pcgrad", "mean", "graddrop"} {
		tr := open(t, tiny(t, "objective.method="+method, "optim.in_backward=true", fmt.Sprint("optim.clip=", clip)))
		norm := 0.0
		for k := range 3 {
			r, err := tr.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			scale := float64(r.ClipScale)
			if k == 0 && !(scale > 0 && scale < 1) {
				t.Errorf("%s: the first step is scaled by %v at least", method, scale)
			}
			if want := min(1, clip/norm); k > 0 && scale != want {
				t.Errorf("%s: step %d is scaled by %v, want %v", method, k+1, scale, want)
			}
			norm = float64(r.GradNorm)
		}
	}
}
