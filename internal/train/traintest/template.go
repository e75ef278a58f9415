package traintest

// ChatMLTemplate is ChatML without its newlines.
const ChatMLTemplate = `{% for m in messages %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}` +
	`{% if add_generation_prompt %}<|im_start|>assistant{% endif %}`

// ShortTemplate is a chat template that fits the tiny model's context of 64 bytes:
// "uhi\na".
const ShortTemplate = `{% for m in messages %}{{ m.role[0] + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}a{% endif %}`
