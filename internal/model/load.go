package model

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/safetensors"
	"concord/tensor"
)

// Load reads the weights of the Hugging Face folder dir into w. Each must be
// there, in the shape that c asks for, and finite; a tensor that the model does
// not have is an error, except for the rotary buffers of older files and for an
// lm_head.weight that repeats the embeddings of a tied model.
func Load(e *tensor.Engine, dir string, c Config, w Weights) error {
	r, err := safetensors.Open(dir)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	specs := ParamSpecs(c)
	if err := checkNames(r, dir, c, specs); err != nil {
		return err
	}
	for _, s := range specs {
		data, err := r.ReadFloat32(s.Name)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		if err := safetensors.CheckFinite(s.Name, data); err != nil {
			return fmt.Errorf("model: %s: %w", dir, err)
		}
		if s.Name == embedName {
			if err := checkTied(r, dir, c, data); err != nil {
				return err
			}
		}
		e.Upload(w.Weight(s.Name), data)
	}
	if err := e.Dev.Err(); err != nil {
		return fmt.Errorf("model: upload of the weights: %w", err)
	}
	return nil
}

// Check reads the headers of dir's weights, not the weights: that all of c's
// parameters are there in their shapes, and none besides.
func Check(dir string, c Config) error {
	r, err := safetensors.Open(dir)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	return checkNames(r, dir, c, ParamSpecs(c))
}

// checkNames compares the file's tensors with the model's before any is read.
func checkNames(r *safetensors.Reader, dir string, c Config, specs []Spec) error {
	known := map[string]bool{}
	for _, s := range specs {
		known[s.Name] = true
		t, ok := r.Tensor(s.Name)
		switch {
		case !ok && s.Name == headName:
			return fmt.Errorf("model: %s has no %s: if head and embeddings are one matrix, set tie_word_embeddings to true in %s", dir, s.Name, ConfigFile)
		case !ok:
			return fmt.Errorf("model: %s has no tensor %s, which %s asks for", dir, s.Name, ConfigFile)
		case !slices.Equal(t.Shape, s.Dims()):
			return fmt.Errorf("model: %s: %s has the shape %v, %s asks for %v", t.File, s.Name, t.Shape, ConfigFile, s.Dims())
		}
	}
	for _, name := range r.Names() {
		if !known[name] && !strings.HasSuffix(name, ".rotary_emb.inv_freq") && !(c.TieWordEmbeddings && name == headName) {
			return fmt.Errorf("model: %s: tensor %s is not part of a %s model: it would be lost", dir, name, c.ModelType)
		}
	}
	return nil
}

// checkTied refuses a tied model whose file holds another head.
func checkTied(r *safetensors.Reader, dir string, c Config, embed []float32) error {
	if _, ok := r.Tensor(headName); !ok || !c.TieWordEmbeddings {
		return nil
	}
	head, err := r.ReadFloat32(headName)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if !slices.Equal(head, embed) {
		return fmt.Errorf("model: %s: tie_word_embeddings is true, but %s differs from %s: set it to false in %s, or remove the tensor", dir, headName, embedName, ConfigFile)
	}
	return nil
}
