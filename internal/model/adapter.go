package model

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"concord/internal/param"
	"concord/internal/peft"
	"concord/internal/safetensors"
	"concord/tensor"
)

// module is p's module in files: the name of its tensor without the end.
func (p *parameter) module() string {
	return strings.TrimSuffix(strings.TrimSuffix(p.file, ".weight"), ".bias")
}

// adapter declares the adapter of a linear map; nil where it has none. Maps whose rows
// lie in one tensor of the files are one map to PEFT: they share A, and their B is one
// in the files.
func (d declarer) adapter(weight *parameter) adapter {
	c, module := d.c.Adapter, weight.module()
	if c == nil || !c.Adapts(module) || len(c.Layers) > 0 && !slices.Contains(c.Layers, d.layer) {
		return nil
	}
	rank := c.RankOf(module)
	l := &lowRank{first: true, last: true, scale: c.ScaleOf(module), space: d.space, masked: module + peft.A}
	own := strings.TrimSuffix(weight.Name, ".weight")
	declare := func(name, end string, kind param.Kind, r, c int) *parameter {
		return &parameter{Spec: Spec{Name: name + end, Kind: kind, Layer: d.layer, R: r, C: c, Uses: 1}, file: module + end, adapter: true}
	}
	if before := d.fusedA[module]; before != nil {
		before.last, l.first = false, false
		l.a = before.a
	} else {
		l.a = declare(module, peft.A, param.Linear, rank, weight.C)
		l.a.drawn = true
	}
	d.fusedA[module] = l
	l.b = declare(own, peft.B, param.Linear, weight.R, rank)
	a := adapter(l)
	if c.DoRA {
		a = &dora{lowRank: l, weight: weight, magnitude: declare(own, peft.Magnitude, param.Norm, 1, weight.R)}
	}
	d.space.of[weight.Name] = a
	d.space.all = append(d.space.all, a)
	return a
}

// freezeBase marks the parameters that an adapted model does not train.
func (n *network) freezeBase(c Config) {
	if c.Adapter == nil {
		return
	}
	for _, p := range n.params() {
		p.Frozen = !p.adapter && !c.saves(p)
	}
}

// saves says that p, of the base model, is trained whole. Embeddings tied to the head
// are one parameter, under either name.
func (c Config) saves(p *parameter) bool {
	return c.Adapter.Saves(p.module()) || c.TieWordEmbeddings && p.Shared() && c.Adapter.Saves(c.family().names.head)
}

// ErrSave is about the modules that an adapter's run trains whole.
var ErrSave = errors.New("adapter.save")

// CheckAdapter refuses an adapter that does not fit the model.
func (c Config) CheckAdapter() error {
	a := c.Adapter
	if a == nil {
		return nil
	}
	if a.Rank < 1 || a.Rank > peft.MaxRank || !(a.Alpha > 0) || math.IsInf(a.Alpha, 0) {
		return fmt.Errorf("an adapter of rank %d with alpha %v", a.Rank, a.Alpha)
	}
	linear, modules := c.modules()
	if err := c.checkTokens(); err != nil {
		return err
	}
	if err := c.checkLayers(); err != nil {
		return err
	}
	linear = append(linear, c.tokenModules()...)
	for _, t := range a.Targets {
		if !a.All() && !slices.ContainsFunc(linear, func(m string) bool { return peft.Names(t, m) }) {
			return fmt.Errorf("the adapter's target %q is no linear map of the model's layers, no embedding and no head; these are: %s", t,
				strings.Join(ends(linear), ", "))
		}
	}
	for _, s := range a.Save {
		if !slices.ContainsFunc(modules, func(m string) bool { return peft.Names(s, m) }) {
			return fmt.Errorf("%w: %q, to be trained whole, is no part of the model; these are: %s", ErrSave, s, strings.Join(ends(modules), ", "))
		}
		if i := slices.IndexFunc(linear, func(m string) bool {
			return peft.Names(s, m) && a.Adapts(m) && (!a.All() || !slices.Contains(c.tokenModules(), m))
		}); i >= 0 {
			return fmt.Errorf("%w: %s is both adapted and trained whole", ErrSave, linear[i])
		}
	}
	if p := c.savedTied(); p != nil && c.adaptsTokens() {
		return fmt.Errorf("%w: %s, which is the head too, is both adapted and trained whole", ErrSave, p.module())
	}
	return nil
}

// checkTokens refuses the adapters of embedding and head that are computed by no one here.
func (c Config) checkTokens() error {
	a := c.Adapter
	switch {
	case !c.adaptsTokens():
	case a.DoRA:
		return fmt.Errorf("DoRA is for the linear maps of the layers: the adapter names the embedding or the head (%s)",
			strings.Join(a.Targets, ", "))
	case len(a.Layers) > 0:
		return fmt.Errorf("the adapter names the embedding or the head (%s), which are in none of its layers %v",
			strings.Join(a.Targets, ", "), a.Layers)
	case c.TieWordEmbeddings && !a.Tied:
		return fmt.Errorf("the model's embedding and head are one matrix, and the adapter changes only one of them: it was made without "+
			"ensure_weight_tying (%s)", strings.Join(a.Targets, ", "))
	case c.TieWordEmbeddings:
		m := c.tokenModules()
		if a.RankOf(m[0]) != a.RankOf(m[1]) || a.ScaleOf(m[0]) != a.ScaleOf(m[1]) {
			return fmt.Errorf("the model's embedding and head are one matrix with one adapter, and rank_pattern or alpha_pattern gives "+
				"them two: name both, %s and %s, with the same value", m[0], m[1])
		}
	}
	return nil
}

// checkLayers refuses layers that the model does not have, and ranks and alphas of modules
// that are not adapted.
func (c Config) checkLayers() error {
	for _, l := range c.Adapter.Layers {
		if l < 0 || l >= c.Layers {
			return fmt.Errorf("the adapter's layer %d is none of the model's, which are 0 to %d", l, c.Layers-1)
		}
	}
	var adapted []string
	for _, p := range newNetwork(c).params() {
		if m, ok := peft.Module(p.file); ok && p.adapter {
			adapted = append(adapted, m)
		}
	}
	if len(adapted) == 0 && len(c.Adapter.Layers) > 0 {
		return fmt.Errorf("the adapter's targets are in none of its layers %v", c.Adapter.Layers)
	}
	if c.TieWordEmbeddings && c.adaptsTokens() { // one matrix under two names
		adapted = append(adapted, c.tokenModules()...)
	}
	return c.Adapter.CheckPatterns(adapted)
}

// modules are the linear maps of c's layers, and all modules, as files call them.
func (c Config) modules() (linear, all []string) {
	c.Adapter = nil
	for _, p := range newNetwork(c).params() {
		m := p.module()
		if p.Kind == param.Linear && !slices.Contains(linear, m) {
			linear = append(linear, m)
		}
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	if c.TieWordEmbeddings {
		all = append(all, c.family().names.head)
	}
	return linear, all
}

// ends are the last parts of modules' names, each once.
func ends(modules []string) []string {
	var out []string
	for _, m := range modules {
		if end := path.Base(strings.ReplaceAll(m, ".", "/")); !slices.Contains(out, end) {
			out = append(out, end)
		}
	}
	slices.Sort(out)
	return out
}

// InitAdapter begins the adapter of c as PEFT does: B is zero, so that the model
// computes the same as its base, and A uniform in ±1/√in (Kaiming's with a = √5); of an
// embedding's adapter A is zero and B from N(0, 1). Value i
// of a parameter is a function of (seed, name, i) alone. A parameter that is trained whole stays as
// it is: the base model's.
//
// With DoRA the lengths are those of the base model's rows, so its weights must be in w.
func InitAdapter(e *tensor.Engine, c Config, w Weights, seed uint64) error {
	n := newNetwork(c)
	for _, p := range n.params() {
		if !p.adapter {
			continue
		}
		data := make([]float32, p.Size())
		if p.drawn {
			uniform(data, seed, p.Name, 1/math.Sqrt(float64(p.C)))
		}
		if p.normal {
			normal(data, seed, p.Name, 1)
		}
		e.Upload(w.Weight(p.Name), data)
	}
	if err := errors.Join(n.initMagnitudes(e, w), e.Dev.Err()); err != nil {
		return fmt.Errorf("model: the adapter's first weights: %w", err)
	}
	return nil
}

// LoadAdapter reads the adapter in dir, of c.Adapter's configuration, into w. It refuses
// the adapters that ReadAdapter refuses.
func LoadAdapter(e *tensor.Engine, dir string, c Config, w Weights) error {
	values, err := ReadAdapter(dir, c)
	if err != nil {
		return err
	}
	for name, v := range values {
		e.Upload(w.Weight(name), v)
	}
	if err := e.Dev.Err(); err != nil {
		return fmt.Errorf("model: upload of the adapter: %w", err)
	}
	return nil
}

// ReadAdapter reads the parameters that the adapter in dir, of c.Adapter's configuration, trains, by
// the names of ParamSpecs. Each of its tensors must be there, in its shape, and finite;
// one that c's model does not have is an error.
func ReadAdapter(dir string, c Config) (map[string][]float32, error) {
	r, err := peft.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	out, left := map[string][]float32{}, r.Names()
	for _, s := range newNetwork(c).adapterStored(c) {
		name := peft.Tensor(s.name)
		t, ok := r.Tensor(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("model: %s has no tensor %s, which its %s asks for", dir, name, peft.ConfigFile)
		case !slices.Equal(t.Shape, s.shape()):
			return nil, fmt.Errorf("model: %s: %s has the shape %v, the base model and %s ask for %v", t.File, name, t.Shape,
				peft.ConfigFile, s.shape())
		}
		left = slices.DeleteFunc(left, func(n string) bool { return n == name })
		data, err := r.ReadFloat32(name)
		if err == nil {
			err = safetensors.CheckFinite(name, data)
		}
		if err != nil {
			return nil, fmt.Errorf("model: %s: %w", dir, err)
		}
		for i, part := range s.split(data) {
			out[s.parts[i].Name] = part
		}
	}
	if left, err = tiedHead(r, dir, c, out, left); err != nil {
		return nil, err
	}
	if left, err = tokenCopies(r, dir, c, out, left); err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("model: %s: tensor %s is not part of the adapter that %s describes: it would be lost", dir, left[0],
			peft.ConfigFile)
	}
	return out, nil
}

// savedTied is the parameter of embeddings tied to the head, if it is trained whole.
func (c Config) savedTied() *parameter {
	n := newNetwork(c)
	if p := n.embedding.table; n.head.tied && c.Adapter != nil && c.saves(p) {
		return p
	}
	return nil
}

// tiedHead takes the head's tensor out of left, where the model's head is its embeddings
// and these are trained whole: PEFT keeps a copy of each, which must be the same.
func tiedHead(r *safetensors.Reader, dir string, c Config, values map[string][]float32, left []string) ([]string, error) {
	p := c.savedTied()
	if p == nil {
		return left, nil
	}
	name := peft.Tensor(c.headName())
	if !slices.Contains(left, name) {
		return nil, fmt.Errorf("model: %s has no tensor %s: its embeddings are trained whole and its head is the base "+
			"model's, and in the model they are one", dir, name)
	}
	head, err := r.ReadFloat32(name)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", dir, err)
	}
	if !slices.Equal(head, values[p.Name]) {
		return nil, fmt.Errorf("model: %s: %s differs from the embeddings, and in the model they are one", dir, name)
	}
	return slices.DeleteFunc(left, func(n string) bool { return n == name }), nil
}

// WriteAdapter writes c's adapter to the folder dir as PEFT does, as dtype, with the
// tokenizer's files of the folder from. read returns the trained parameters by name and
// is asked once for each, twice for embeddings that are tied to the head.
func WriteAdapter(dir, from string, c Config, dtype safetensors.DType, read func(name string) ([]float32, error)) error {
	if err := CarryOver(dir, from); err != nil {
		return err
	}
	a := *c.Adapter
	a.Transposed = c.family().conv1D
	a.Tied = c.TieWordEmbeddings && c.adaptsTokens()
	targets := a.Targets
	if a.All() {
		linear, _ := c.modules()
		targets = ends(linear)
	}
	var out []safetensors.Entry
	for _, s := range newNetwork(c).adapterStored(c) {
		out = append(out, s.entry(dtype, read))
	}
	if p := c.savedTied(); p != nil { // to PEFT embeddings and head are two modules: both are given, and stay alike
		a.Save = append(slices.DeleteFunc(slices.Clone(a.Save),
			func(s string) bool { return peft.Names(s, p.module()) || peft.Names(s, c.family().names.head) }),
			ends([]string{p.module(), c.family().names.head})...)
		head := stored{name: c.headName(), parts: []*parameter{p}}
		out = append(out, head.entry(dtype, read))
	}
	out = append(out, tiedCopies(c, dtype, read)...)
	if err := peft.Write(dir, &a, targets, out); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// adapterStored are the tensors of the adapter's file, by the model's names: those that are
// adapted, and those that are trained whole.
func (n *network) adapterStored(c Config) []stored {
	return group(n.params(), func(p *parameter) bool { return p.adapter || c.saves(p) })
}
