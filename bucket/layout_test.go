package bucket

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// llama lists parameters of a small model with odd shapes, as the backward pass
// of the architecture completes them.
func llama(layers int, tied bool) []Param {
	var out []Param
	if !tied {
		out = append(out, Param{Name: "lm_head.weight", R: 37, C: 10})
	}
	out = append(out, Param{Name: "model.norm.weight", R: 1, C: 10})
	for l := layers - 1; l >= 0; l-- {
		pre := "model.layers." + string(rune('0'+l)) + "."
		out = append(out,
			Param{Name: pre + "mlp.down_proj.weight", R: 10, C: 21},
			Param{Name: pre + "post_attention_layernorm.weight", R: 1, C: 10},
			Param{Name: pre + "self_attn.q_proj.weight", R: 10, C: 10},
			Param{Name: pre + "input_layernorm.weight", R: 1, C: 10})
	}
	sites := 1
	if tied {
		sites = 2
	}
	return append(out, Param{Name: "model.embed_tokens.weight", R: 37, C: 10, Sites: sites})
}

func TestPartition(t *testing.T) {
	for _, tied := range []bool{true, false} {
		for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
			params := llama(3, tied)
			l, err := Partition(params, scope, Limits{Objectives: 8, BindingBytes: 1 << 27})
			if err != nil {
				t.Fatal(err)
			}
			checkLayout(t, l, params)
			want := map[string]int{"tensor": len(params), "layer": len(params)/4 + 1, "1MB": 1}[scope]
			if !tied && scope == "layer" {
				want = 5
			}
			if tied && scope == "layer" {
				want = 4
			}
			if want > 0 && len(l.Buckets) != want {
				t.Errorf("%s, tied %v: %d buckets, want %d: %v", scope, tied, len(l.Buckets), want, l.Buckets)
			}
			if l.Global != (scope == "global") {
				t.Errorf("%s: Global is %v", scope, l.Global)
			}
		}
	}
}

// checkLayout checks that every parameter lies in exactly one place, aligned,
// without overlap, and that the buckets follow the order of params.
func checkLayout(t *testing.T, l Layout, params []Param) {
	t.Helper()
	order := map[string]int{}
	for i, p := range params {
		order[p.Name] = i
	}
	seen := 0
	lastFirst := -1
	for b, bk := range l.Buckets {
		end, first := 0, len(params)
		for _, p := range bk.Params {
			if p.Offset%align != 0 || p.Offset < end || p.Bucket != b {
				t.Errorf("%s: %s at %d of bucket %d, after %d", l.Scope, p.Name, p.Offset, p.Bucket, end)
			}
			if got, ok := l.Place(p.Name); !ok || got != p {
				t.Errorf("%s: place of %s is %v, want %v", l.Scope, p.Name, got, p)
			}
			end = p.Offset + p.R*p.LD()
			first = min(first, order[p.Name])
			seen++
		}
		if bk.Size < end || bk.Size%align != 0 {
			t.Errorf("%s: bucket %d has %d elements, its parameters end at %d", l.Scope, b, bk.Size, end)
		}
		if first <= lastFirst {
			t.Errorf("%s: bucket %d completes out of order", l.Scope, b)
		}
		lastFirst = first
	}
	if names := l.Names(); seen != len(params) || len(names) != len(params) {
		t.Errorf("%s: %d places of %d parameters", l.Scope, seen, len(params))
	}
	for _, p := range params {
		if _, ok := l.Place(p.Name); !ok {
			t.Errorf("%s: %s has no place", l.Scope, p.Name)
		}
	}
}

// TestFinalNormJoinsLastLayer checks that vectors outside the layers are guests.
func TestFinalNormJoinsLastLayer(t *testing.T) {
	l, err := Partition(llama(2, true), "layer", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	norm, _ := l.Place("model.norm.weight")
	if name := l.Buckets[norm.Bucket].Name; name != "layer 1" {
		t.Errorf("the final norm is in %q", name)
	}
	if name := l.Buckets[2].Name; name != "model.embed_tokens.weight" {
		t.Errorf("the last bucket is %q", name)
	}
	vectors := false
	for _, p := range l.Buckets[norm.Bucket].Params {
		if vectors && p.R > 1 {
			t.Error("a matrix lies behind a vector")
		}
		vectors = vectors || p.R == 1
	}
}

func TestPartitionLimits(t *testing.T) {
	params := llama(3, false)
	big := Limits{Objectives: 4, BindingBytes: 448 * 4, BufferBytes: 448 * 4 * 4} // one head fits, a layer does not
	if _, err := Partition(params, "layer", big); err == nil || !strings.Contains(err.Error(), `"tensor"`) {
		t.Errorf("layer: %v", err)
	}
	for _, scope := range []string{"tensor", "1MB", "global"} {
		l, err := Partition(params, scope, big)
		if err != nil {
			t.Fatal(err)
		}
		checkLayout(t, l, params)
		for _, b := range l.Buckets {
			if b.Size > 448 {
				t.Errorf("%s: %v exceeds the limit", scope, b)
			}
		}
	}
	// One tensor that is too large is named, with the limit and what can be done.
	params = []Param{{Name: "small", R: 4, C: 64}, {Name: "large", R: 1024, C: 512}} // 2 MiB
	for _, c := range []struct {
		lim  Limits
		want []string
		not  string
	}{
		{Limits{Objectives: 3, BindingBytes: 4 << 20, BufferBytes: 5 << 20}, []string{"times 3 objectives", "5.0 MiB", "(at most 2)", `"mean"`}, "adapter cannot"},
		{Limits{Objectives: 1, BindingBytes: 1 << 20, BufferBytes: 5 << 20}, []string{"can bind 1.0 MiB", "adapter cannot"}, "objectives"},
		{Limits{Objectives: 8, BindingBytes: 1 << 20, BufferBytes: 5 << 20}, []string{"can bind 1.0 MiB", "adapter cannot"}, "objectives"},
		{Limits{BufferBytes: 1 << 20}, []string{"largest buffer of this adapter has 1.0 MiB", "adapter cannot"}, "objectives"},
	} {
		for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
			_, err := Partition(params, scope, c.lim)
			if err == nil || strings.Contains(err.Error(), c.not) {
				t.Fatalf("%+v: error %v, want none of %q", c.lim, err, c.not)
			}
			for _, want := range append(c.want, "tensor large (1024,512) takes 2.0 MiB") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%+v: error %v, want %q", c.lim, err, want)
				}
			}
		}
	}
}

func TestPartitionRefuses(t *testing.T) {
	for _, scope := range []string{"", "layers", "0MB", "MB", "-1MB", "25mb", "1.5MB"} {
		_, err := Partition(llama(1, true), scope, Limits{})
		if !errors.Is(err, ErrScope) || !strings.Contains(err.Error(), `"global"`) {
			t.Errorf("scope %q: %v", scope, err)
		}
	}
	twice := slices.Concat(llama(1, true), llama(1, true)[:1])
	if _, err := Partition(twice, "layer", Limits{}); err == nil {
		t.Error("a parameter given twice is accepted")
	}
	if _, err := Partition([]Param{{Name: "x", R: 0, C: 4}}, "layer", Limits{}); err == nil {
		t.Error("an empty parameter is accepted")
	}
}
