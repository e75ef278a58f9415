package corpus

import (
	"fmt"
	"path/filepath"
	"slices"

	"concord/internal/modeldir"
)

// turnWarning says so when conversations are trained whose turns end with something
// at which other programs do not stop.
func (c *Corpus) turnWarning() []string {
	chats := 0
	for _, s := range c.Sets {
		chats += s.TrainStats.Chats
	}
	if chats == 0 {
		return nil
	}
	dir := c.options.Folder
	end, err := modeldir.FindTurnEnd(c.Tokenizer, c.Template)
	stops, err2 := c.Tokenizer.StopTokens(dir)
	if err != nil || err2 != nil {
		return nil // the data was encoded with the same tokenizer and files
	}
	name, _ := c.Tokenizer.IDToToken(end.Token)
	switch {
	case end.Text == "":
		return []string{"the chat template does not end the assistant's turns: the model will not learn to stop\n" +
			"fix: a copy of it that writes {{ eos_token }} after the answer, as data.template"}
	case !end.IsToken:
		return []string{fmt.Sprintf("the assistant's turns end with the text %q, which is no token of this model: "+
			"programs that stop at tokens only do not stop there\n"+
			"fix: a template that writes {{ eos_token }} after the answer, as data.template", end.Text)}
	case c.options.Template == "" && !slices.Contains(stops, end.Token): // else the run adds it to its model
		return []string{fmt.Sprintf("the assistant's turns end with %s (%d), which no file of the model names as an end of text: "+
			"other programs do not stop there\n"+
			"fix: add %d to eos_token_id in %s", name, end.Token, end.Token, filepath.Join(dir, modeldir.GenerationFile))}
	}
	return nil
}
