package chat

// format is how a family of templates writes an assistant's turn.
type format struct {
	name        string
	header, end string // the answer, with all that it has, stands between them
}

// formats are those of known families. Each was compared with the family's own
// templates in transformers: see testdata/make_vectors.py.
var formats = []format{
	{"ChatML turns", "<|im_start|>assistant\n", "<|im_end|>"}, // SmolLM, Qwen 1.5 to 3, Yi, Hermes …
	{"Llama 3 turns", "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
	{"Gemma turns", "<start_of_turn>model\n", "<end_of_turn>"},
	{"Phi 3 turns", "<|assistant|>\n", "<|end|>"},
	{"Zephyr turns", "<|assistant|>\n", "</s>"}, // TinyLlama too
	{"Phi 4 turns", "<|im_start|>assistant<|im_sep|>", "<|im_end|>"},
	{"Granite turns", "<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>"},
}
