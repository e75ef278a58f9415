package model

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/param"
	"concord/internal/safetensors"
	"concord/tensor"
)

// Load reads the weights of dir, a Hugging Face folder or a GGUF file, into w. Each must be
// there, in the shape that c asks for, and finite; a tensor that the model does
// not have is an error, except for the rotary buffers of older files and for an
// lm_head.weight that repeats the embeddings of a tied model.
func Load(e *tensor.Engine, dir string, c Config, w Weights) error {
	if IsGGUF(dir) {
		return loadGGUF(e, dir, c, w)
	}
	r, err := safetensors.Open(dir)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	tensors := locate(r, c)
	if err := checkNames(r, dir, c, tensors); err != nil {
		return err
	}
	for _, s := range tensors {
		data, err := r.ReadFloat32(s.name)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		if err := safetensors.CheckFinite(s.name, data); err != nil {
			return fmt.Errorf("model: %s: %w", dir, err)
		}
		if s.parts[0].Kind == param.Embedding && s.parts[0].Shared() {
			if err := checkTied(r, dir, c, s.name, data); err != nil {
				return err
			}
		}
		for i, part := range s.split(data) {
			e.Upload(w.Weight(s.parts[i].Name), part)
		}
	}
	if err := e.Dev.Err(); err != nil {
		return fmt.Errorf("model: upload of the weights: %w", err)
	}
	return nil
}

// Check reads the headers of dir's weights, not the weights: that all of c's
// parameters are there in their shapes, and none besides.
func Check(dir string, c Config) error {
	if IsGGUF(dir) {
		return withGGUF(dir, c, func(*GGUF) error { return nil })
	}
	r, err := safetensors.Open(dir)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	return checkNames(r, dir, c, locate(r, c))
}

// locate is storedTensors with the names of the file that r reads: some leave out
// the family's prefix.
func locate(r *safetensors.Reader, c Config) []stored {
	out, prefix := storedTensors(c), c.family().prefix
	if slices.ContainsFunc(r.Names(), func(name string) bool { return prefix != "" && strings.HasPrefix(name, prefix) }) {
		return out
	}
	for i := range out {
		out[i].name = strings.TrimPrefix(out[i].name, prefix)
	}
	return out
}

// isBuffer says that a tensor of a file holds no parameter but values that follow from
// the configuration.
func (c Config) isBuffer(name string) bool {
	return slices.ContainsFunc(append([]string{".rotary_emb.inv_freq"}, c.family().buffers...),
		func(end string) bool { return strings.HasSuffix(name, end) })
}

// headName is the tensor of c's head, where it is not the embedding's.
func (c Config) headName() string { return c.family().names.head + ".weight" }

// checkNames compares the file's tensors with the model's before any is read.
func checkNames(r *safetensors.Reader, dir string, c Config, tensors []stored) error {
	known := map[string]bool{}
	for _, s := range tensors {
		known[s.name] = true
		t, ok := r.Tensor(s.name)
		switch {
		case !ok && s.parts[0].Kind == param.Head:
			return fmt.Errorf("model: %s has no %s: if head and embeddings are one matrix, set tie_word_embeddings to true in %s", dir,
				s.name, ConfigFile)
		case !ok:
			return fmt.Errorf("model: %s has no tensor %s, which %s asks for", dir, s.name, ConfigFile)
		case !slices.Equal(t.Shape, s.shape()):
			return fmt.Errorf("model: %s: %s has the shape %v, %s asks for %v", t.File, s.name, t.Shape, ConfigFile, s.shape())
		}
	}
	for _, name := range r.Names() {
		if !known[name] && !c.isBuffer(name) && !(c.TieWordEmbeddings && name == c.headName()) {
			return fmt.Errorf("model: %s: tensor %s is not part of a %s model: it would be lost", dir, name, c.ModelType)
		}
	}
	return nil
}

// checkTied refuses a tied model whose file holds another head.
func checkTied(r *safetensors.Reader, dir string, c Config, name string, embed []float32) error {
	headName := c.headName()
	if _, ok := r.Tensor(headName); !ok {
		return nil
	}
	head, err := r.ReadFloat32(headName)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if !slices.Equal(head, embed) {
		return fmt.Errorf("model: %s: tie_word_embeddings is true, but %s differs from %s: set it to false in %s, or remove the tensor",
			dir, headName, name, ConfigFile)
	}
	return nil
}
