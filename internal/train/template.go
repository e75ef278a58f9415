package train

import (
	"fmt"
	"path/filepath"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/modeldir"
	"concord/internal/safetensors"
)

// portableTemplate is the file of data.template as the other machines know it.
const portableTemplate = "data/" + chat.File

// templateFile is the file that data.template names, "" if it names none.
func templateFile(cfg *config.Config) string {
	if t := cfg.Data.Template; t != "" && t != chat.ChatMLName {
		return t
	}
	return ""
}

// templateName is data.template with the path of its file.
func templateName(cfg *config.Config) (string, error) {
	f := templateFile(cfg)
	if f == "" {
		return cfg.Data.Template, nil
	}
	name := cfg.Resolve(f)
	if !exists(name) {
		return "", &config.Error{Where: "data.template",
			Msg: fmt.Sprintf("%q is neither %q nor a file (paths are relative to the run file)", f, chat.ChatMLName),
			Fix: `template = "chatml"`}
	}
	return name, nil
}

// saveTemplate writes the template of data.template to the folder out of a model
// that was trained with cfg, so that users of the model ask it as it was
// trained, and have the model stop at the end of its turns. Without data.template
// the model's own is there already.
func saveTemplate(cfg *config.Config, out string) error {
	if cfg.Data.Template == "" {
		return nil
	}
	name, err := templateName(cfg)
	if err != nil {
		return err
	}
	t, err := chat.Open(name, baseFolder(cfg))
	if err != nil {
		return DataError(err)
	}
	if err := safetensors.WriteFile(filepath.Join(out, chat.File), []byte(t.Source)); err != nil {
		return fmt.Errorf("chat template: %w", err)
	}
	tok, err := modeldir.Tokenizer(out)
	if err != nil {
		return err
	}
	end, err := modeldir.FindTurnEnd(tok, t)
	if err != nil || !end.IsToken {
		return err
	}
	return modeldir.AddStop(tok, out, end.Token)
}
