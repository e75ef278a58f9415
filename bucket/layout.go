// Package bucket holds the parameters of a model in buckets and resolves the
// objectives' gradients bucket by bucket while the backward pass runs.
//
// Three things. A Layout (layout.go) says which parameter lies where in which
// bucket. A Store (store.go) is the memory of a layout: flat buffers of weights,
// combined gradients and optimizer moments. A Resolver (resolver.go) takes a step's
// gradients: the backward pass hands each to Linear or Use; of a complete group the
// Gram matrix is computed on the device, its weights by a Solver on the host, its
// gradient combined on the device, and its rows are freed for the next one. When that
// happens is a flow's business: on this machine alone (flow.go), at the groups' owners
// among many (owners.go), here and then averaged (averaged.go), of changes instead of
// gradients (changes.go). Start reading at Resolver.
//
// The package does not know how weights are found (package moo), and knows
// no model. Nothing in it is safe for concurrent use.
package bucket

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"concord/internal/param"
	"concord/tensor"
)

// align is the alignment of a parameter in its bucket in elements: 256 bytes,
// WebGPU's default storage offset alignment.
const align = 64

// Param is a parameter, as the model declares it, and how it is resolved.
type Param struct {
	param.Spec
	// Rule names the set of parameters that one method resolves; "" is the
	// default one. A bucket has parameters of one set.
	Rule string
	// Single says that its gradient is never kept once per objective (fixed
	// weights, ghost Gram), so that Limits.Objectives does not count for it.
	Single bool
	// Align is the multiple of elements at which it begins in its bucket, itself a
	// multiple of 64; 0 is 64.
	Align int
	// Type is the element type of a frozen parameter's weights; F32 leaves it to the
	// store's Types, unless Own says that it is meant.
	Type tensor.DType
	Own  bool
}

// LD is the row stride in elements: C rounded up to 4.
func (p Param) LD() int { return (p.C + 3) &^ 3 }

// Extent is the number of elements it takes in a bucket.
func (p Param) Extent() int {
	to := max(p.Align, align)
	return (p.R*p.LD() + to - 1) / to * to
}

func (p Param) uses() int { return max(p.Uses, 1) }

// Bucket is a set of parameters that lie in one flat buffer.
type Bucket struct {
	Name   string  // "layer 3", "model.norm.weight", …
	Params []Place // ascending Offset; matrices first, so that one rule (weight decay) covers one range
	Size   int     // elements, a multiple of 64
	Group  int     // index in Layout.Groups

	matrices int // elements before the first vector
}

// ResolveGroup is resolved together: a bucket, or with the scope "global" all
// buckets of a group.
type ResolveGroup struct {
	Name    string
	Rule    string
	Buckets []int
	Size    int // elements, padding included
}

// Layout is a partition of a model's parameters into buckets, in the order in
// which the backward pass completes them.
type Layout struct {
	Global  bool // the buckets of a group are memory only and resolved as one
	Buckets []Bucket
	Groups  []ResolveGroup
	Frozen  []Param  // those that are not trained and so lie in no bucket
	order   []string // the parameters in the order in which they were given
	places  map[string]Place
}

// Partition cuts params, given in the order in which the backward pass
// completes them, into buckets:
//
//   - ByTensor: every parameter is a bucket;
//   - ByLayer: the parameters of a decoder layer are a bucket, any other matrix is one of its own, and a vector outside the
//     layers (the final norm) joins the bucket that completes after it, as a
//     bucket of its own would cost a Gram for a few hundred values;
//   - BySize: consecutive parameters up to so many bytes of one float32 gradient;
//   - Global: all parameters are resolved together, as one group.
//
// Buckets of the scopes BySize and Global are also closed where one more
// parameter would exceed the device's memory. Each set of parameters with
// one rule is partitioned by itself; the buckets come in the order of their last parameter.
// Frozen parameters are in none.
func Partition(params []Param, scope Scope, lim Limits) (Layout, error) {
	if err := checkParams(params); err != nil {
		return Layout{}, err
	}
	l := Layout{Global: scope == Global, places: map[string]Place{}}
	var trained []Param
	for _, p := range params {
		if p.Frozen {
			l.Frozen = append(l.Frozen, p)
			continue
		}
		trained = append(trained, p)
		l.order = append(l.order, p.Name)
	}
	if len(trained) == 0 {
		return Layout{}, fmt.Errorf("bucket: all %d parameters are frozen: nothing is left to train", len(params))
	}
	for _, g := range partitionGroups(trained, scope, lim) {
		l.add(g)
	}
	l.unite()
	for _, p := range l.Frozen {
		p.Single = true // it has no gradient at all
		if err := lim.checkParam(p); err != nil {
			return Layout{}, err
		}
	}
	for _, b := range l.Buckets {
		if err := lim.check(b); err != nil {
			return Layout{}, err
		}
	}
	return l, nil
}

func checkParams(params []Param) error {
	seen := map[string]bool{}
	for _, p := range params {
		if err := p.Check(); err != nil {
			return fmt.Errorf("bucket: %w", err)
		}
		if seen[p.Name] {
			return fmt.Errorf("bucket: parameter %s is given twice; a shared parameter is one Param with Uses > 1", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

// partitionGroups cuts every group by itself and orders the buckets by their
// last parameter, which is when they are complete.
func partitionGroups(params []Param, scope Scope, lim Limits) [][]Param {
	at, byGroup := map[string]int{}, map[string][]Param{}
	var groups []string
	for i, p := range params {
		at[p.Name] = i
		if byGroup[p.Rule] == nil {
			groups = append(groups, p.Rule)
		}
		byGroup[p.Rule] = append(byGroup[p.Rule], p)
	}
	var out [][]Param
	for _, g := range groups {
		out = append(out, partition(byGroup[g], scope, lim)...)
	}
	last := func(bucket []Param) int {
		i := 0
		for _, p := range bucket {
			i = max(i, at[p.Name])
		}
		return i
	}
	slices.SortStableFunc(out, func(a, b []Param) int { return last(a) - last(b) })
	return out
}

// unite makes the groups from the buckets.
func (l *Layout) unite() {
	global := map[string]int{} // group by group
	for b := range l.Buckets {
		bk := &l.Buckets[b]
		g := bk.Params[0].Rule
		u, ok := global[g]
		if !l.Global || !ok {
			u = len(l.Groups)
			global[g] = u
			name := bk.Name
			if l.Global {
				name = grouped("global", g)
			}
			l.Groups = append(l.Groups, ResolveGroup{Name: name, Rule: g})
		}
		bk.Group = u
		l.Groups[u].Buckets = append(l.Groups[u].Buckets, b)
		l.Groups[u].Size += bk.Size
	}
}

// grouped is a name that says which group it is of.
func grouped(name, group string) string {
	if group == "" {
		return name
	}
	return name + " (" + group + ")"
}

// partition returns the buckets' parameters, in order.
func partition(params []Param, scope Scope, lim Limits) [][]Param {
	if scope == ByTensor {
		var out [][]Param
		for _, p := range params {
			out = append(out, []Param{p})
		}
		return out
	}
	if scope.bytes > 0 {
		return bySize(params, min(int(tensor.F32.Elements(scope.bytes)), lim.elements()))
	}
	layers := byLayer(params)
	if scope == ByLayer {
		return layers
	}
	var out [][]Param // global: the cut does not matter, so cut to the size that can be bound
	for _, g := range layers {
		out = append(out, bySize(g, lim.elements())...)
	}
	return out
}

// bySize cuts params into runs of at most elements, or one parameter.
func bySize(params []Param, elements int) [][]Param {
	var out [][]Param
	size := 0
	for _, p := range params {
		if len(out) == 0 || size+p.Extent() > elements {
			out, size = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], p)
		size += p.Extent()
	}
	return out
}

func byLayer(params []Param) [][]Param {
	var out [][]Param
	at := map[string]int{} // index in out
	var loose []Param      // vectors waiting for the next bucket
	for _, p := range params {
		if p.Layer == param.NoLayer && p.Kind.Vector() {
			loose = append(loose, p)
			continue
		}
		key := p.Name // a matrix outside the layers
		if p.Layer != param.NoLayer {
			key = layerName(p.Layer)
		}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, nil)
		}
		out[i] = append(append(out[i], loose...), p)
		loose = nil
	}
	switch {
	case len(loose) == 0:
	case len(out) == 0:
		out = append(out, loose)
	default:
		out[len(out)-1] = append(out[len(out)-1], loose...)
	}
	return out
}

// add lays out one bucket, matrices before vectors.
func (l *Layout) add(params []Param) {
	ordered := slices.Clone(params)
	slices.SortStableFunc(ordered, func(a, b Param) int { return boolInt(a.Kind.Vector()) - boolInt(b.Kind.Vector()) })
	b := Bucket{Name: bucketName(params)}
	if len(params) > 1 {
		b.Name = grouped(b.Name, params[0].Rule)
	}
	for _, p := range ordered {
		place := Place{Param: p, Bucket: len(l.Buckets), Offset: b.Size}
		b.Params = append(b.Params, place)
		b.Size += p.Extent()
		if !p.Kind.Vector() {
			b.matrices = b.Size
		}
		l.places[p.Name] = place
	}
	l.Buckets = append(l.Buckets, b)
}

// bucketName is "layer N" for parameters of one layer, the parameter's name if
// there is one, and otherwise "first … last".
func bucketName(params []Param) string {
	if len(params) == 1 {
		return params[0].Name
	}
	layer := param.NoLayer
	for _, p := range params {
		switch {
		case p.Layer == param.NoLayer && p.Kind.Vector(): // a guest
		case p.Layer == param.NoLayer || layer != param.NoLayer && p.Layer != layer:
			return params[0].Name + " … " + params[len(params)-1].Name
		default:
			layer = p.Layer
		}
	}
	if layer == param.NoLayer {
		return params[0].Name + " … " + params[len(params)-1].Name
	}
	return layerName(layer)
}

func layerName(i int) string { return "layer " + strconv.Itoa(i) }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Names lists the parameters in the order of the layout.
func (l Layout) Names() []string {
	var out []string
	for _, b := range l.Buckets {
		for _, p := range b.Params {
			out = append(out, p.Name)
		}
	}
	return out
}

func (b Bucket) String() string {
	names := make([]string, len(b.Params))
	for i, p := range b.Params {
		names[i] = p.Name
	}
	return fmt.Sprintf("%s (%d values: %s)", b.Name, b.Size, strings.Join(names, ", "))
}
