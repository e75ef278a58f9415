package model

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/internal/ref"
	"concord/tensor"
)

func testEngine(t testing.TB) *tensor.Engine {
	t.Helper()
	gpu.KeepDevices() // kernels take longer to compile than these sizes to compute
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")})
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: true, TreatAsGPU: os.Getenv("CONCORD_TREAT_AS_GPU") != ""})
}

// weights keeps every parameter in a buffer of its own.
type weights map[string]tensor.Tensor

func (w weights) Weight(name string) tensor.Tensor { return w[name] }

func newWeights(e *tensor.Engine, c Config) weights {
	w := weights{}
	for _, s := range ParamSpecs(c) {
		w[s.Name] = e.New(gpu.RoleWeights, s.Name, s.R, s.C)
	}
	return w
}

// gradients keeps M rows per parameter and checks the order of completion.
type gradients struct {
	t       testing.TB
	e       *tensor.Engine
	rows    map[string]tensor.TaskGrads
	left    map[string]int // uses to come
	written map[string]bool
	done    []string
}

func newGradients(t testing.TB, e *tensor.Engine, c Config, m int) *gradients {
	g := &gradients{t: t, e: e, rows: map[string]tensor.TaskGrads{}, left: map[string]int{}, written: map[string]bool{}}
	for _, s := range ParamSpecs(c) {
		ld := (s.C + 3) &^ 3
		stride := (s.R*ld + 63) &^ 63
		buf := e.Dev.NewBuffer(gpu.RoleRows, s.Name, int64(m*stride)*4)
		junk := make([]byte, m*stride*4)
		for i := range junk {
			junk[i] = 0x41 // not zero: what is not accumulated must be overwritten
		}
		e.Dev.Write(gpu.View{Buf: buf, Size: buf.Size()}, junk)
		g.rows[s.Name] = tensor.TaskGrads{Buf: buf, M: m, Stride: stride, R: s.R, C: s.C, LD: ld}
		g.left[s.Name] = s.Uses
	}
	return g
}

func (g *gradients) Linear(name string, dy, x tensor.Tensor, seg tensor.Segments) {
	g.Use(name, dy, seg, func(dy tensor.Tensor, to tensor.Target) {
		g.e.MatMulSegmented(to.Rows, dy, x, to.Segments, to.Accumulate)
	})
}

func (g *gradients) Use(name string, factor tensor.Tensor, seg tensor.Segments, write func(tensor.Tensor, tensor.Target)) {
	r, ok := g.rows[name]
	if !ok {
		g.t.Fatalf("gradient of unknown parameter %s", name)
	}
	write(factor, tensor.Target{Rows: r, Segments: seg, Accumulate: g.written[name]})
	g.written[name] = true
	if g.left[name]--; g.left[name] == 0 {
		g.done = append(g.done, name)
	}
}

// read downloads objective m's gradient of a parameter.
func (g *gradients) read(e *tensor.Engine, name string, m int) []float32 {
	v, err := e.Download(g.rows[name].Objective(m))
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func tiny(tied bool) Config {
	c := Config{ModelType: "llama", Hidden: 20, FFN: 28, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Vocab: 37, MaxPositions: 64,
		RMSNormEps: 1e-5, RopeTheta: 10000, InitializerRange: 0.3, TieWordEmbeddings: tied}
	if tied { // scaled frequencies on one of the two
		c.RopeScaling = tensor.RoPEScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 16}
	}
	return c
}

// fill gives the model weights of size one, norms included, and returns them.
func fill(t testing.TB, e *tensor.Engine, c Config, w weights) map[string][]float64 {
	t.Helper()
	if err := InitRandom(e, c, w, 7); err != nil {
		t.Fatal(err)
	}
	out, inits := map[string][]float64{}, map[string]float32{}
	for _, p := range newNetwork(c).params() {
		inits[p.Name] = p.initial
	}
	for i, s := range ParamSpecs(c) {
		if s.Kind.Vector() {
			v := optest.Random(s.C, uint64(i))
			for j := range v {
				v[j] = inits[s.Name] + v[j]/2
			}
			e.Upload(w[s.Name], v)
		}
		v, err := e.Download(w[s.Name])
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range v {
			out[s.Name] = append(out[s.Name], float64(x))
		}
	}
	return out
}

// packed is 3 rows of 11 tokens: documents of lengths 1 to 11 with prompts,
// ignored labels and padding; three objectives, the second of which is empty.
func packed(c Config) Tokens {
	var t Tokens
	seed := uint32(5)
	for _, length := range []int{4, 6, 1, 11, 5, 3, 3} {
		start := len(t.IDs)
		for i := range length {
			seed = seed*1664525 + 1013904223
			t.IDs = append(t.IDs, seed>>8%uint32(c.Vocab))
			t.Pos = append(t.Pos, uint32(i))
			t.DocStart = append(t.DocStart, uint32(start))
			t.DocEnd = append(t.DocEnd, uint32(start+length))
		}
		for i := range length {
			label := uint32(Ignore)
			if i+1 < length && i != 1 && len(t.Labels) < 30 {
				label = t.IDs[start+i+1]
			}
			t.Labels = append(t.Labels, label)
		}
	}
	t.Starts = []int{0, 22, 22, 33}
	for m := range 3 {
		n := 0
		for i := t.Starts[m]; i < t.Starts[m+1]; i++ {
			if t.Labels[i] != Ignore {
				n++
			}
		}
		for range t.Starts[m+1] - t.Starts[m] {
			t.Scale = append(t.Scale, 1/float32(n))
		}
	}
	return t
}

// reference is the float64 twin of c's model with params, by Hugging Face name.
func reference(c Config, params map[string][]float64) *twin {
	d := &ref.Decoder{Hidden: c.Hidden, FFN: c.FFN, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Vocab: c.Vocab, Eps: c.RMSNormEps, QKNorm: c.ModelType == "qwen3" || c.ModelType == "gemma3_text", Window: c.Windows,
		Params: map[string][]float64{}}
	for _, r := range c.ropes() { // its scalings are tested in package tensor
		f, turn := r.Scaling.Frequencies(c.rotated(), r.Theta)
		d.InvFreq = append(d.InvFreq, f)
		d.Turn = turn
	}
	d.LayerNorm, d.Plain, d.GELU = c.ModelType == "gpt2", c.ModelType == "gpt2", c.ModelType == "gpt2"
	gemma := strings.HasPrefix(c.ModelType, "gemma")
	if gemma {
		d.GELU = true
		d.NormOffset, d.EmbedFactor = 1, math.Sqrt(float64(c.Hidden))
	}
	if c.ModelType == "gemma2" || c.ModelType == "gemma3_text" {
		d.PostNorms, d.Scale = true, 1/math.Sqrt(c.QueryScalar)
		d.SoftCap, d.LogitCap = c.AttentionSoftCap, c.FinalSoftCap
	}
	if c.ModelType == "gemma3_text" {
		for i := range c.Layers { // the first rotary embedding is the sliding layers'
			d.Rope = append(d.Rope, 1-min(c.window(i), 1))
		}
	}
	w := &twin{Decoder: d, parts: Parts(c)}
	d.AdapterScale = func(part string) float64 { return c.Adapter.ScaleOf(strings.TrimSuffix(w.parts[part], ".weight")) }
	for part, name := range w.parts {
		d.Params[part] = params[name]
	}
	return w
}

// twin is a ref.Decoder that calls parameters by their Hugging Face names.
type twin struct {
	*ref.Decoder
	parts map[string]string // ref's name: ours
}

func (w *twin) Backward(b ref.DecoderBatch, starts []int) []map[string][]float64 {
	var out []map[string][]float64
	for _, g := range w.Decoder.Backward(b, starts) {
		named := map[string][]float64{}
		for part, name := range w.parts {
			if named[name] == nil {
				named[name] = make([]float64, len(g[part]))
			}
			for i, v := range g[part] { // adapters of fused maps share A
				named[name][i] += v
			}
		}
		out = append(out, named)
	}
	return out
}

func refBatch(t Tokens) ref.DecoderBatch {
	var b ref.DecoderBatch
	for i := range t.IDs {
		label := int(t.Labels[i])
		if t.Labels[i] == Ignore {
			label = -1
		}
		b.IDs, b.Labels = append(b.IDs, int(t.IDs[i])), append(b.Labels, label)
		b.Pos, b.DocStart = append(b.Pos, int(t.Pos[i])), append(b.DocStart, int(t.DocStart[i]))
		b.Scale = append(b.Scale, float64(t.Scale[i]))
	}
	return b
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

type setup struct {
	e      *tensor.Engine
	c      Config
	w      weights
	params map[string][]float64
	m      *transformer
	b      *Batch
	tokens Tokens
}

func newSetup(t testing.TB, tied bool, objectives int) *setup {
	t.Helper()
	return newSetupOf(t, testEngine(t), tiny(tied), objectives)
}

func newSetupOf(t testing.TB, e *tensor.Engine, c Config, objectives int) *setup {
	t.Helper()
	s := &setup{e: e, c: c}
	s.w = newWeights(s.e, s.c)
	s.params = fill(t, s.e, s.c, s.w)
	var err error
	s.m, err = newTransformer(s.e, s.c, s.w, Dims{Rows: 3, SeqLen: 11, LogitsChunk: 16, Objectives: objectives})
	if err != nil {
		t.Fatal(err)
	}
	s.b, s.tokens = s.m.NewBatch(), packed(s.c)
	return s
}

func (s *setup) step(t testing.TB, tokens Tokens) (loss []float32, g *gradients) {
	t.Helper()
	if err := s.b.Upload(tokens); err != nil {
		t.Fatal(err)
	}
	g = newGradients(t, s.e, s.c, s.m.dims.Objectives)
	s.m.Forward(s.b)
	s.m.Backward(s.b, g, nil)
	loss, err := s.e.Download(s.m.loss)
	if err != nil {
		t.Fatal(err)
	}
	return loss, g
}

// tolerance is the NMSE allowed between the float32 model and the float64
// reference: rounding of 2 layers, 1e-7 each op, squared, with a margin.
const tolerance = 1e-10

// compareGradient is optest.Compare, but for gradients that are 0 and differ from
// it by rounding only: that of the keys' bias where nothing rotates, as a shift of
// all of a query's scores changes nothing.
func compareGradient(got, want []float32, bound float64) error {
	if slices.ContainsFunc(want, func(v float32) bool { return math.Abs(float64(v)) > 1e-12 }) {
		return optest.Compare(got, want, bound)
	}
	for i, v := range got {
		if math.Abs(float64(v)) > 1e-6 {
			return fmt.Errorf("value %d is %v, want 0", i, v)
		}
	}
	return nil
}

// models are tiny ones of every family, in which every setting of the table of
// differences comes up.
func models() map[string]Config {
	all := map[string]Config{"llama, untied": tiny(false), "llama, tied": tiny(true)}
	add := func(name, modelType string, change func(c *Config)) {
		c := tiny(len(all)%2 == 0)
		c.ModelType = modelType
		change(&c)
		all[name] = c
	}
	add("llama, biases", "llama", func(c *Config) { c.AttentionBias, c.MLPBias = true, true })
	add("mistral, window", "mistral", func(c *Config) { c.Windows = []int{4, 4} })
	add("mistral", "mistral", func(c *Config) {})
	add("qwen2", "qwen2", func(c *Config) {})
	add("qwen2, one layer slides", "qwen2", func(c *Config) { c.Windows = []int{0, 3} })
	add("qwen3", "qwen3", func(c *Config) {})
	add("qwen3, biases", "qwen3", func(c *Config) { c.AttentionBias = true })
	add("gemma", "gemma", func(c *Config) {})
	add("gemma2", "gemma2", func(c *Config) {
		c.Windows, c.QueryScalar, c.AttentionSoftCap, c.FinalSoftCap = []int{4, 0}, 10, 3, 4
	})
	add("gemma2, no caps", "gemma2", func(c *Config) { c.QueryScalar = 8 })
	add("gemma3", "gemma3_text", func(c *Config) { c.Windows, c.QueryScalar, c.LocalRopeTheta = []int{4, 0}, 10, 100 })
	add("phi3", "phi3", func(c *Config) { c.Windows, c.RotaryDim = []int{6, 6}, 4 })
	for _, tied := range []bool{false, true} {
		add(fmt.Sprintf("gpt2, tied=%v", tied), "gpt2", func(c *Config) {
			c.KVHeads, c.HeadDim, c.RopeTheta, c.RopeScaling, c.TieWordEmbeddings = c.Heads, 5, 0, tensor.RoPEScaling{}, tied
			c.Hidden, c.HeadDim = 32, 8
		})
	}
	add("llama, yarn", "llama", func(c *Config) {
		c.RopeScaling = tensor.RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPosition: 16, BetaFast: 2, BetaSlow: 0.5}
	})
	add("llama, half of a head", "llama", func(c *Config) { c.RotaryDim = 4 })
	return all
}

// Loss and the gradient of every parameter, per objective.
func TestWholeModel(t *testing.T) {
	e := testEngine(t)
	for name, c := range models() {
		t.Run(name, func(t *testing.T) {
			s := newSetupOf(t, e, c, 3)
			loss, g := s.step(t, s.tokens)
			l, b := reference(s.c, s.params), refBatch(s.tokens)
			if err := optest.Compare(loss, float32s(l.Loss(b)), tolerance); err != nil {
				t.Errorf("loss: %v", err)
			}
			var names []string
			for m, want := range l.Backward(b, s.tokens.Starts) {
				for _, spec := range ParamSpecs(s.c) {
					if err := compareGradient(g.read(s.e, spec.Name, m), float32s(want[spec.Name]), tolerance); err != nil {
						t.Errorf("objective %d, %s: %v", m, spec.Name, err)
					}
				}
			}
			for _, spec := range ParamSpecs(s.c) {
				names = append(names, spec.Name)
			}
			if !slices.Equal(g.done, names) {
				t.Errorf("gradients complete in the order %v,\nParamSpecs says %v", g.done, names)
			}
		})
	}
}

// With some parameters frozen the others get the same gradients in bits, the frozen
// ones none, and nothing is lent with them.
func TestFrozen(t *testing.T) {
	e := testEngine(t)
	for name, frozen := range map[string]func(Spec) bool{
		"embedding and head": func(s Spec) bool { return s.Kind == param.Embedding || s.Kind == param.Head },
		"all but layer 1":    func(s Spec) bool { return s.Layer != 1 },
		"linear maps":        func(s Spec) bool { return s.Kind == param.Linear },
		"all but a norm":     func(s Spec) bool { return s.Kind != param.Norm || s.Layer != param.NoLayer },
	} {
		for _, c := range []Config{tiny(true), models()["gemma2"], models()["gpt2, tied=false"]} {
			s := newSetupOf(t, e, c, 3)
			loss, want := s.step(t, s.tokens)
			var err error
			s.m, err = newTransformer(e, c, s.w, Dims{Rows: 3, SeqLen: 11, LogitsChunk: 16, Objectives: 3, Frozen: frozen})
			if err != nil {
				t.Fatal(err)
			}
			s.b = s.m.NewBatch()
			again, got := s.step(t, s.tokens)
			if at := optest.Bits(again, loss); at >= 0 {
				t.Errorf("%s, %s: the loss differs at %d", name, c.ModelType, at)
			}
			asked := map[string]bool{}
			for _, name := range got.done {
				asked[name] = true
			}
			for _, spec := range ParamSpecs(c) {
				if asked[spec.Name] == frozen(spec) {
					t.Errorf("%s, %s: %s: gradient asked for: %v", name, c.ModelType, spec.Name, asked[spec.Name])
				}
				for m := range 3 {
					if at := optest.Bits(got.read(e, spec.Name, m), want.read(e, spec.Name, m)); at >= 0 && !frozen(spec) {
						t.Errorf("%s, %s: %s of objective %d differs at %d", name, c.ModelType, spec.Name, m, at)
					}
				}
			}
			for with := range s.m.Reusable() {
				if !asked[with] {
					t.Errorf("%s, %s: memory is lent with %s, which is not asked for", name, c.ModelType, with)
				}
			}
		}
	}
}

// One backward with M objectives against M backwards with one each, and twice
// the same bits.
func TestSegmentedBackward(t *testing.T) {
	s := newSetup(t, true, 3)
	_, g := s.step(t, s.tokens)
	_, again := s.step(t, s.tokens)
	single := *s
	var err error
	single.m, err = newTransformer(s.e, s.c, s.w, Dims{Rows: 3, SeqLen: 11})
	if err != nil {
		t.Fatal(err)
	}
	single.b = single.m.NewBatch()
	for m := range 3 {
		tokens := s.tokens
		tokens.Starts, tokens.Scale = nil, make([]float32, 33)
		copy(tokens.Scale[s.tokens.Starts[m]:s.tokens.Starts[m+1]], s.tokens.Scale[s.tokens.Starts[m]:])
		_, alone := single.step(t, tokens)
		for _, spec := range ParamSpecs(s.c) {
			got := g.read(s.e, spec.Name, m)
			if at := optest.Bits(got, again.read(s.e, spec.Name, m)); at >= 0 {
				t.Errorf("objective %d, %s: a second run differs at %d", m, spec.Name, at)
			}
			if err := optest.Compare(got, alone.read(s.e, spec.Name, 0), 1e-12); err != nil {
				t.Errorf("objective %d, %s, alone: %v", m, spec.Name, err)
			}
		}
	}
}

// Finite differences of the GPU's own loss along random directions.
func TestDirectionalDerivative(t *testing.T) {
	e := testEngine(t)
	for name, c := range models() {
		t.Run(name, func(t *testing.T) { checkDirections(t, newSetupOf(t, e, c, 3)) })
	}
}

func checkDirections(t *testing.T, s *setup) {
	directions(t, s, func(k int, _ Spec) bool { return k%3 == 0 }) // every kind of parameter comes up in one of the layers
}

// directions checks the gradients of the parameters that are wanted, by number and Spec.
func directions(t *testing.T, s *setup, wanted func(k int, s Spec) bool) {
	_, g := s.step(t, s.tokens)
	objective := func(m int) float64 {
		if err := s.b.Upload(s.tokens); err != nil {
			t.Fatal(err)
		}
		s.m.EvalLoss(s.b)
		loss, err := s.e.Download(s.m.loss)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := s.tokens.Starts[m]; i < s.tokens.Starts[m+1]; i++ {
			sum += float64(loss[i]) * float64(s.tokens.Scale[i])
		}
		return sum
	}
	for k, spec := range ParamSpecs(s.c) {
		if !wanted(k, spec) {
			continue
		}
		const h = 3e-3
		base := float32s(s.params[spec.Name])
		dir := optest.Random(len(base), uint64(100+k))
		want := 0.0
		for i, v := range g.read(s.e, spec.Name, 2) {
			want += float64(v) * float64(dir[i])
		}
		var f [2]float64
		for side, sign := range []float32{1, -1} {
			moved := make([]float32, len(base))
			for i := range moved {
				moved[i] = base[i] + sign*h*dir[i]
			}
			s.e.Upload(s.w[spec.Name], moved)
			f[side] = objective(2)
		}
		s.e.Upload(s.w[spec.Name], base)
		if got := (f[0] - f[1]) / (2 * h); math.Abs(got-want) > 0.02*math.Abs(want)+2e-3 {
			t.Errorf("%s: difference quotient %v, gradient %v", spec.Name, got, want)
		}
	}
}

func TestEvalLoss(t *testing.T) {
	s := newSetup(t, true, 3)
	loss, _ := s.step(t, s.tokens)
	thin, err := newTransformer(s.e, s.c, s.w, Dims{Rows: 3, SeqLen: 11, LogitsChunk: 16, Objectives: 3, ForwardOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*transformer{"training buffers": s.m, "forward only": thin} {
		b := m.NewBatch()
		if err := b.Upload(s.tokens); err != nil {
			t.Fatal(err)
		}
		m.EvalLoss(b)
		got, err := s.e.Download(m.loss)
		if err != nil {
			t.Fatal(err)
		}
		if at := optest.Bits(got, loss); at >= 0 {
			t.Errorf("%s: token %d has loss %v, in training %v", name, at, got[at], loss[at])
		}
		b.Release()
	}
	before := s.held(t)
	for range 3 {
		extra, err := New(s.e, s.c, s.w, Dims{Rows: 3, SeqLen: 11})
		if err != nil {
			t.Fatal(err)
		}
		extra.Release()
	}
	if after := s.held(t); after != before {
		t.Errorf("%d bytes stay allocated after Release", after-before)
	}
}

// held is the memory in use besides the device's own staging.
func (s *setup) held(t testing.TB) int64 {
	if err := s.e.Dev.Sync(); err != nil { // released memory returns when its work is done
		t.Fatal(err)
	}
	mem := s.e.Dev.Memory()
	return mem.Current - mem.Roles[gpu.RoleStaging].Current
}
