// Package tokenizer reads, applies, trains and writes byte-pair-encoding
// tokenizers in Hugging Face's tokenizer.json format.
//
// Implemented are the parts that the Llama, Qwen, SmolLM, GPT-2, Mistral and
// Gemma families use: byte-level BPE and sentencepiece-style BPE with byte
// fallback, with their normalizers, pre-tokenizers, templates and decoders.
// Token ids equal the reference implementation's (golden vectors in testdata).
// Every other component, and every option that would change the result and is
// not implemented, is refused by its JSON type name and its place in the file:
// an approximated tokenizer trains a model on text it will never see again.
//
// Encoding runs the stages of tokenizer.json in order:
//
//  1. added tokens with normalized=false are cut out (leftmost-longest);
//  2. the text between them is normalised (normalize.go);
//  3. added tokens with normalized=true are cut out;
//  4. the rest is split into pieces (pretokenize.go, scan.go, regex.go);
//  5. each piece goes through BPE (bpe.go);
//  6. with addSpecial, the post-processor's template adds BOS and the like.
//
// A Tokenizer is immutable and safe for concurrent use. Text must be valid
// UTF-8. Nothing in a file or a text panics. Start reading at Encode.
package tokenizer
