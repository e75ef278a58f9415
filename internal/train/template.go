package train

import (
	"fmt"
	"path/filepath"
	"strings"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/data"
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

// openTemplate opens the chat template of the run; nil if there is none.
func openTemplate(cfg *config.Config) (*chat.Template, error) {
	name := cfg.Data.Template
	if f := templateFile(cfg); f != "" {
		if name = cfg.Resolve(f); !exists(name) {
			return nil, &config.Error{Where: "data.template",
				Msg: fmt.Sprintf("%q is neither %q nor a file (paths are relative to the run file)", f, chat.ChatMLName),
				Fix: `template = "chatml"`}
		}
	}
	t, err := chat.Open(name, baseFolder(cfg))
	if err != nil {
		return nil, DataError(err)
	}
	return t, nil
}

// rendering says how the conversations of a set became text, or that a chat template
// has nothing to render.
func (c *corpus) rendering(s *data.Set) string {
	chats := s.TrainStats.Chats + s.HeldoutStats.Chats
	switch {
	case c.template == nil:
		return ""
	case chats == 0:
		return fmt.Sprintf("no conversations: the chat template of %s is not used, text and answers are taken as they stand "+
			"(ask with generate --raw)", c.template.From)
	}
	marked, prefix := s.TrainStats.ByMarks+s.HeldoutStats.ByMarks, s.TrainStats.ByPrefix+s.HeldoutStats.ByPrefix
	var ways []string
	for _, w := range []struct {
		n   int
		how string
	}{{marked, "marked by " + chat.ByGeneration}, {chats - marked - prefix, "in a known format"}, {prefix, "found turn by turn"}} {
		if w.n > 0 {
			ways = append(ways, w.how)
		}
	}
	return fmt.Sprintf("rendered by the chat template of %s; the assistant's turns are %s", c.template.From, strings.Join(ways, ", or "))
}

// onlyChats reports whether all documents are conversations.
func (c *corpus) onlyChats() bool {
	for _, s := range c.sets {
		for _, n := range []data.Stats{s.TrainStats, s.HeldoutStats} {
			if n.Docs != n.Chats+n.Empty {
				return false
			}
		}
	}
	return true
}

// saveTemplate writes the template of data.template to the folder out of a model
// that was trained with cfg, so that users of the model ask it as it was
// trained, and have the model stop at the end of its turns. Without data.template
// the model's own is there already.
func saveTemplate(cfg *config.Config, out string) error {
	if cfg.Data.Template == "" {
		return nil
	}
	t, err := openTemplate(cfg)
	if err != nil {
		return err
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
