// Package data turns files of text into packed batches: sources (files of one
// language, or of several) → examples (token ids with a mask of the learnt ones) → rows of
// a batch, grouped by language, the order a pure function of (seed, step).
//
// # Documents
//
// A record of a file (package records) is one document; its columns say its kind:
//
//	{"text": "…"}                          language modelling: all of it is learnt
//	{"prompt": "…", "completion": "…"}     the completion is learnt
//	{"messages": [{"role": "user", "content": "…"}, …]}   the assistant's turns are learnt
//
// and the forms of ShareGPT, Alpaca, Dolly and Aya: see shapes. Columns and roles may
// have other names in a source; columns that nothing reads are told once a file.
//
// Text and completion are taken as they stand: a completion usually begins
// with a space. Messages are rendered by a chat template (internal/chat), which
// writes BOS and the ends of turns itself. In a plain text file a
// document is a paragraph: lines up to the next blank line.
//
// # Tokens
//
// An example is BOS (if the tokenizer puts one before a text), then the
// document, then EOS (if it names one), which is learnt; neither is added where
// the document has its own, nor to a conversation. Prompt and completion are one text with one encoding, as
// users of the model will encode them. A token is learnt if all of its bytes are
// learnt: one across the border is not, and is counted. The first token of an example is never a
// target: nothing predicts it. An example of n tokens therefore has n−1
// positions, each predicting the next token, and that is the length that
// MaxLen and the batch's rows bound: the last token is only ever a target.
//
// # Bits per byte
//
// Bytes counts the UTF-8 bytes of the text that is learnt or measured. The
// loss of EOS is part of the sum though it adds no byte: how surely a model
// knows that it is done is part of how well it models the language.
//
// # Things that are never done silently
//
// Documents that are too long, empty or without anything to learn are handled
// as Options say and counted in Stats, per language. A file that is not as
// it should be (encoding, JSON, columns) is an error with file and line: see
// Error. Nothing is normalised, trimmed or deduplicated. The things that the user should know
// besides are in a Set's Notes.
//
// # Memory
//
// Text is read as a stream and tokenised once into token files (tokens.go), which are
// kept for the next run where they are large. In memory are 12 bytes an example, and
// the packing.
//
// A Sampler and the results of Load may be used by several goroutines. Start
// reading at Load, then NewSampler.
package data
