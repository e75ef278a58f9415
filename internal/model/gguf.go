package model

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/gguf"
	"concord/internal/param"
	"concord/internal/safetensors"
)

// ggufNames are the names of parameters in llama.cpp's files.
var ggufNames = names{
	embedding: "token_embd", positions: "position_embd", norm: "output_norm", head: "output", layer: "blk.%d.",
	attentionNorm: "attn_norm", q: "attn_q", k: "attn_k", v: "attn_v", o: "attn_output",
	qNorm: "attn_q_norm", kNorm: "attn_k_norm", attentionPost: "post_attention_norm",
	mlpNorm: "ffn_norm", gate: "ffn_gate", up: "ffn_up", down: "ffn_down", mlpPost: "post_ffw_norm",
}

// ggufFused are, by architecture, the parameters whose rows lie in one tensor.
var ggufFused = map[string]map[string]string{
	"phi3": {"attn_q": "attn_qkv", "attn_k": "attn_qkv", "attn_v": "attn_qkv", "ffn_gate": "ffn_up"},
	"gpt2": {"attn_q": "attn_qkv", "attn_k": "attn_qkv", "attn_v": "attn_qkv"},
}

// ggufTypes are the model types of the architectures that have another name.
var ggufTypes = map[string]string{"gemma3": "gemma3_text"}

// GGUFSettings is the tensor that holds a part of the configuration.
const GGUFSettings = ropeFactors

const (
	ropeFactors = "rope_freqs.weight" // of the frequencies, where llama3 scales them
	windowKey   = ".attention.sliding_window"
)

// GGUF is a model in a file of llama.cpp.
type GGUF struct {
	Config  Config
	file    *gguf.File
	tensors ggufPlacing
	last    string // whose values held are
	held    [][]float32
}

// ggufTensor says where a parameter lies.
type ggufTensor struct {
	stored
	part   int
	heads  int     // whose rows are in llama.cpp's order of a rotary pair; 0 = they are not
	offset float32 // that the file adds
}

// ReadGGUF reads f's configuration of the model, a llama.cpp file of a supported family,
// and that its tensors are those of such a model.
func ReadGGUF(f *gguf.File) (*GGUF, error) {
	c, err := ggufConfig(f)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	g := &GGUF{Config: c, file: f}
	if err := g.locate(); err != nil {
		return nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	return g, nil
}

// ggufPlacing says where the parameters lie, by our names.
type ggufPlacing map[string]ggufTensor

// of lists the parameters in a tensor, in its order.
func (p ggufPlacing) of(tensor string) []string {
	var out []string
	for name, x := range p {
		if x.name == tensor {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return p[a].part - p[b].part })
	return out
}

// ggufPlaces are the places of c's parameters in a file of an architecture, and its tensors.
func ggufPlaces(c Config, arch string) (ggufPlacing, []stored) {
	f := c.family()
	f.names, f.fused, f.conv1D, f.prefix = &ggufNames, ggufFused[arch], false, ""
	theirs, ours := compose(c, f), newNetwork(c).params()
	name := map[*parameter]string{}
	for i, p := range theirs.params() { // the same network: the same order
		name[p] = ours[i].Name
	}
	heads := map[*parameter]int{}
	if arch == "llama" {
		for _, b := range theirs.blocks {
			for k, n := range []int{c.Heads, c.KVHeads} {
				for _, p := range b.attention.in[k].params() {
					heads[p] = n
				}
			}
		}
	}
	out, tensors := ggufPlacing{}, theirs.stored()
	for _, s := range tensors {
		for i, p := range s.parts {
			x := ggufTensor{stored: s, part: i, heads: heads[p]}
			if f.plusOne && p.Kind == param.Norm {
				x.offset = 1
			}
			out[name[p]] = x
		}
	}
	return out, tensors
}

// locate finds every parameter and refuses tensors that would be lost.
func (g *GGUF) locate() error {
	places, tensors := ggufPlaces(g.Config, g.arch())
	g.tensors = places
	known := map[string]bool{ropeFactors: true}
	for _, s := range tensors {
		known[s.name] = true
		t, ok := g.file.Tensor(s.name)
		if !ok {
			return fmt.Errorf("there is no tensor %s, which a %s model has", s.name, g.arch())
		}
		if !slices.Equal(t.Shape, s.shape()) {
			return fmt.Errorf("tensor %s has the shape %v, the metadata ask for %v", s.name, t.Shape, s.shape())
		}
	}
	for _, name := range g.file.Names() {
		if !known[name] {
			return fmt.Errorf("tensor %s is not part of a %s model: it would be lost", name, g.arch())
		}
	}
	return nil
}

func (g *GGUF) arch() string {
	arch, _ := gguf.Value[string](g.file, "general.architecture")
	return arch
}

// Values reads a parameter by the name of ParamSpecs.
func (g *GGUF) Values(name string) ([]float32, error) {
	x, ok := g.tensors[name]
	if !ok {
		return nil, fmt.Errorf("model: %s: no parameter %s", g.file.Path, name)
	}
	if g.last != x.name {
		t, _ := g.file.Tensor(x.name)
		values, err := g.file.Read(t)
		if err != nil {
			return nil, err
		}
		g.last, g.held = x.name, x.split(values)
	}
	return x.fromFile(g.held[x.part]), nil
}

// fromFile makes a parameter's values of the file's, which it leaves as they are.
func (x ggufTensor) fromFile(values []float32) []float32 {
	return x.shifted(x.reordered(values, false), -x.offset)
}

// toFile is fromFile's inverse.
func (x ggufTensor) toFile(values []float32) []float32 {
	return x.shifted(x.reordered(values, true), x.offset)
}

func (x ggufTensor) shifted(values []float32, by float32) []float32 {
	if by == 0 {
		return values
	}
	values = slices.Clone(values)
	for i := range values {
		values[i] += by
	}
	return values
}

// reordered is reorderRows of values; a bias has rows of one value.
func (x ggufTensor) reordered(values []float32, back bool) []float32 {
	if x.heads == 0 {
		return values
	}
	p := x.parts[x.part]
	width := p.C
	if p.Kind == param.Bias {
		width = 1
	}
	return reorderRows(values, x.heads, width, back)
}

// reorderRows brings the rows of every head from llama.cpp's order, the two values of a
// rotary pair side by side, into Hugging Face's, first values of all pairs and then
// second ones, or back. A row is width elements of x.
func reorderRows[T any](x []T, heads, width int, back bool) []T {
	d := len(x) / width / heads
	out := make([]T, len(x))
	for h := range heads {
		for j := range d / 2 {
			for side := range 2 {
				to, from := h*d+side*(d/2)+j, h*d+2*j+side
				if back {
					to, from = from, to
				}
				copy(out[to*width:(to+1)*width], x[from*width:(from+1)*width])
			}
		}
	}
	return out
}

// DType is the type that loses nothing: the file's own of the matrices where they
// all have one of Hugging Face's, else float32.
func (g *GGUF) DType() safetensors.DType {
	out := safetensors.DType("")
	for _, name := range g.file.Names() {
		t, _ := g.file.Tensor(name)
		if len(t.Shape) < 2 {
			continue
		}
		d := map[gguf.Type]safetensors.DType{gguf.F16: safetensors.F16, gguf.BF16: safetensors.BF16}[t.Type]
		if d == "" || out != "" && d != out {
			return safetensors.F32
		}
		out = d
	}
	return out
}

// String is a line: the model, and how its values are stored.
func (g *GGUF) String() string {
	var types []string
	for _, name := range g.file.Names() {
		t, _ := g.file.Tensor(name)
		if s := t.Type.String(); !slices.Contains(types, s) {
			types = append(types, s)
		}
	}
	return fmt.Sprintf("%s; tensors %s", g.Config, strings.Join(types, ", "))
}
