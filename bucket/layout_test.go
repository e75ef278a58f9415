package bucket

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"concord/internal/param"
)

// llama lists parameters of a small model with odd shapes, as the backward pass
// of the architecture completes them.
func llama(layers int, tied bool) []Param {
	var out []Param
	if !tied {
		out = append(out, declare("lm_head.weight", param.Head, param.NoLayer, 37, 10))
	}
	out = append(out, declare("model.norm.weight", param.Norm, param.NoLayer, 1, 10))
	for l := layers - 1; l >= 0; l-- {
		pre := "model.layers." + string(rune('0'+l)) + "."
		out = append(out,
			declare(pre+"mlp.down_proj.weight", param.Linear, l, 10, 21),
			declare(pre+"post_attention_layernorm.weight", param.Norm, l, 1, 10),
			declare(pre+"self_attn.q_proj.weight", param.Linear, l, 10, 10),
			declare(pre+"input_layernorm.weight", param.Norm, l, 1, 10))
	}
	embed := declare("model.embed_tokens.weight", param.Embedding, param.NoLayer, 37, 10)
	if embed.Uses = 1; tied {
		embed.Uses = 2
	}
	return append(out, embed)
}

func declare(name string, kind param.Kind, layer, r, c int) Param {
	return Param{Spec: param.Spec{Name: name, Kind: kind, Layer: layer, R: r, C: c}}
}

// A layout goes by kind and layer: with names that say nothing it is the same.
func TestNamesSayNothing(t *testing.T) {
	for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
		speaking, unnamed := llama(3, true), llama(3, true)
		for i := range unnamed {
			unnamed[i].Name = fmt.Sprintf("p%d", len(unnamed)-i)
		}
		a, err := Partition(speaking, named[scope], Limits{Objectives: 2})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Partition(unnamed, named[scope], Limits{Objectives: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Buckets) != len(b.Buckets) {
			t.Fatalf("%s: %d buckets, %d when the names say nothing", scope, len(a.Buckets), len(b.Buckets))
		}
		for i := range a.Buckets {
			for k, p := range a.Buckets[i].Params {
				q := b.Buckets[i].Params[k]
				q.Name = p.Name
				if p != q {
					t.Errorf("%s, bucket %d: %+v, %+v when the names say nothing", scope, i, p, q)
				}
			}
		}
		if scope == "layer" && b.Buckets[0].Name != "layer 2" {
			t.Errorf("the first bucket is called %q", b.Buckets[0].Name)
		}
	}
}

func TestPartition(t *testing.T) {
	for _, tied := range []bool{true, false} {
		for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
			params := llama(3, tied)
			l, err := Partition(params, named[scope], Limits{Objectives: 8, BindingBytes: 1 << 27})
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
				t.Errorf("%s at %d of bucket %d, after %d", p.Name, p.Offset, p.Bucket, end)
			}
			if got, ok := l.Place(p.Name); !ok || got != p {
				t.Errorf("place of %s is %v, want %v", p.Name, got, p)
			}
			end = p.Offset + p.R*p.LD()
			first = min(first, order[p.Name])
			seen++
		}
		if bk.Size < end || bk.Size%align != 0 {
			t.Errorf("bucket %d has %d elements, its parameters end at %d", b, bk.Size, end)
		}
		if first <= lastFirst {
			t.Errorf("bucket %d completes out of order", b)
		}
		lastFirst = first
	}
	if names := l.Names(); seen != len(params) || len(names) != len(params) {
		t.Errorf("%d places of %d parameters", seen, len(params))
	}
	for _, p := range params {
		if _, ok := l.Place(p.Name); !ok {
			t.Errorf("%s has no place", p.Name)
		}
	}
}

// TestFinalNormJoinsLastLayer checks that vectors outside the layers are guests.
func TestFinalNormJoinsLastLayer(t *testing.T) {
	l, err := Partition(llama(2, true), ByLayer, Limits{})
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
		if vectors && !p.Kind.Vector() {
			t.Error("a matrix lies behind a vector")
		}
		vectors = vectors || p.Kind.Vector()
	}
}

func TestPartitionLimits(t *testing.T) {
	params := llama(3, false)
	big := Limits{BindingBytes: 448 * 4, BufferBytes: 448 * 4} // one head fits, a layer does not
	if _, err := Partition(params, ByLayer, big); err == nil || !strings.Contains(err.Error(), `"tensor"`) {
		t.Errorf("layer: %v", err)
	}
	for _, scope := range []string{"tensor", "1MB", "global"} {
		l, err := Partition(params, named[scope], big)
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
	if _, err := Partition(params, ByLayer, Limits{BindingBytes: 64 * 4, BufferBytes: 1 << 20}); err != nil {
		t.Errorf("parameters larger than a binding: %v", err)
	}
	// One tensor that is too large is named, with the limit and what can be done.
	// 2 MiB
	params = []Param{declare("small", param.Embedding, param.NoLayer, 4, 64), declare("large", param.Embedding, param.NoLayer, 1024, 512)}
	for _, c := range []struct {
		lim  Limits
		want []string
		not  string
	}{
		{Limits{Objectives: 3, BindingBytes: 4 << 20, BufferBytes: 5 << 20}, []string{"times 3 objectives", "5.0 MiB", "(at most 2)", `"mean"`}, "adapter cannot"},
		{Limits{BufferBytes: 1 << 20}, []string{"largest buffer of this adapter has 1.0 MiB", "adapter cannot"}, "objectives"},
	} {
		for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
			_, err := Partition(params, named[scope], c.lim)
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
	twice := slices.Concat(llama(1, true), llama(1, true)[:1])
	if _, err := Partition(twice, ByLayer, Limits{}); err == nil {
		t.Error("a parameter given twice is accepted")
	}
	for _, c := range []struct {
		p    Param
		want string
	}{
		{declare("x", param.Linear, 0, 0, 4), "shape (0,4)"},
		{declare("x", 0, 0, 4, 4), "without a kind"},
		{declare("x", param.Head+1, 0, 4, 4), "without a kind"},
		{declare("x", param.Norm, 0, 4, 4), "a norm, a vector"},
		{declare("x", param.Bias, -2, 1, 4), "layer -2"},
	} {
		if _, err := Partition([]Param{c.p}, ByLayer, Limits{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
