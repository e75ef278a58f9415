package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"concord/internal/tokenizer"
)

// writeTokenizer trains the base model's tokenizer on the corpus, and writes
// it as Hugging Face names it.
func writeTokenizer(base, corpus string, vocab int, log io.Writer) error {
	docs, err := readLines[document](filepath.Join(corpus, corpusTrain))
	if err != nil {
		return err
	}
	texts := func(yield func(string) bool) {
		for _, d := range docs {
			if !yield(d.Text) {
				return
			}
		}
	}
	t, err := tokenizer.Train(texts, tokenizer.TrainOptions{
		VocabSize: vocab,
		Specials:  []string{tokenizer.BOSToken, tokenizer.EOSToken},
		Pattern:   tokenizerPattern,
	})
	if err != nil {
		return err
	}
	if t, err = addBOS(t); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(base, "tokenizer.json"), t.Bytes()); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(base, "tokenizer_config.json"), []byte(tokenizerConfig)); err != nil {
		return err
	}
	return reportTokenizer(corpus, t, log)
}

// addBOS gives the tokenizer the post-processor that puts BOS before a text, so
// that every tool that reads it begins a document as training did.
func addBOS(t *tokenizer.Tokenizer) (*tokenizer.Tokenizer, error) {
	id, ok := t.TokenToID(tokenizer.BOSToken)
	if !ok {
		return nil, fmt.Errorf("the tokenizer has no %s", tokenizer.BOSToken)
	}
	const token, sequence = `{"SpecialToken": {"id": "` + tokenizer.BOSToken + `", "type_id": 0}}`, `{"Sequence": {"id": "%s", "type_id": 0}}`
	a, b := fmt.Sprintf(sequence, "A"), fmt.Sprintf(sequence, "B")
	template := fmt.Sprintf(`"post_processor": {"type": "TemplateProcessing", "single": [%s, %s], "pair": [%s, %s, %s], `+
		`"special_tokens": {"%s": {"id": "%[6]s", "ids": [%d], "tokens": ["%[6]s"]}}}`,
		token, a, token, a, b, tokenizer.BOSToken, id)
	out, err := tokenizer.Parse(bytes.Replace(t.Bytes(), []byte(`"post_processor": null`), []byte(template), 1))
	if err == nil && !out.AddsBOS() {
		err = errors.New("the tokenizer does not add BOS")
	}
	return out, err
}

// tokenizerPattern keeps combining marks with their letters, which the scripts
// of Hindi, Marathi and many of the corpus's languages need.
const tokenizerPattern = tokenizer.PatternQwen35

// tokenizerConfig names the tokens that begin and end a document.
const tokenizerConfig = `{
 "tokenizer_class": "PreTrainedTokenizerFast",
 "bos_token": "<|bos|>",
 "eos_token": "<|eos|>",
 "add_bos_token": true,
 "clean_up_tokenization_spaces": false
}
`

// reportTokenizer prints the corpus in tokens, BOS and EOS counted.
func reportTokenizer(corpus string, t *tokenizer.Tokenizer, log io.Writer) error {
	for _, file := range []string{corpusTrain, corpusEval} {
		docs, err := readLines[document](filepath.Join(corpus, file))
		if err != nil {
			return err
		}
		tokens, bytes := 0, 0
		for _, d := range docs {
			ids, err := t.Encode(d.Text, false)
			if err != nil {
				return err
			}
			tokens += len(ids) + 2
			bytes += len(d.Text)
		}
		fmt.Fprintf(log, "%s: %d tokens, %.2f bytes per token\n", file, tokens, float64(bytes)/float64(tokens))
	}
	return nil
}
