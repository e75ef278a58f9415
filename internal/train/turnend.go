package train

import (
	"fmt"
	"path/filepath"
	"slices"

	"concord/internal/config"
	"concord/internal/modeldir"
)

// turnWarning says so when conversations are trained whose turns end with something
// at which other programs do not stop.
func (c *corpus) turnWarning(cfg *config.Config) []string {
	chats := 0
	for _, s := range c.sets {
		chats += s.TrainStats.Chats
	}
	if chats == 0 {
		return nil
	}
	dir := baseFolder(cfg)
	end, err := modeldir.FindTurnEnd(c.tokenizer, c.template)
	stops, err2 := c.tokenizer.StopTokens(dir)
	if err != nil || err2 != nil {
		return nil // the data was encoded with the same tokenizer and files
	}
	name, _ := c.tokenizer.IDToToken(end.Token)
	switch {
	case end.Text == "":
		return []string{"the chat template does not end the assistant's turns: the model will not learn to stop\n" +
			"fix: a copy of it that writes {{ eos_token }} after the answer, as data.template"}
	case !end.IsToken:
		return []string{fmt.Sprintf("the assistant's turns end with the text %q, which is no token of this model: "+
			"programs that stop at tokens only do not stop there\n"+
			"fix: a template that writes {{ eos_token }} after the answer, as data.template", end.Text)}
	case cfg.Data.Template == "" && !slices.Contains(stops, end.Token): // else saveTemplate adds it
		return []string{fmt.Sprintf("the assistant's turns end with %s (%d), which no file of the model names as an end of text: "+
			"other programs do not stop there\n"+
			"fix: add %d to eos_token_id in %s", name, end.Token, end.Token, filepath.Join(dir, modeldir.GenerationFile))}
	}
	return nil
}
