package export

import (
	"fmt"
	"io"

	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/safetensors"
)

// GGUFAdapter makes an adapter file of llama.cpp of the adapter in From.
type GGUFAdapter struct {
	From, Out string
	Name      string // of the adapter, which other programs show
}

// Write makes the file, all or nothing. A file that is there already is refused, and so is
// an adapter that such a file cannot hold.
func (x GGUFAdapter) Write() error {
	if err := absent(x.Out); err != nil {
		return err
	}
	s, err := openSource(x.From)
	if err != nil {
		return err
	}
	defer s.close()
	if s.adapter == nil {
		return fault.Data(fmt.Errorf("%s has no adapter\n  fix: --format gguf, for the model itself", x.From))
	}
	if err := model.GGUFAdapterFits(s.adapted); err != nil {
		return fault.Data(err)
	}
	return fault.Data(safetensors.WriteWith(x.Out, func(w io.Writer) error {
		return model.WriteGGUFAdapter(w, s.adapted, []gguf.KV{{Key: "general.name", Value: x.Name}}, s.unmerged)
	}))
}
