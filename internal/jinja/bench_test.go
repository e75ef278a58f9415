package jinja

import "testing"

// BenchmarkRender renders ChatML for ten turns of a hundred bytes.
func BenchmarkRender(b *testing.B) {
	t, err := Parse(`{% for m in messages %}{% if loop.first and m.role != 'system' %}{{ '<|im_start|>system\nx<|im_end|>\n' }}{% endif %}` +
		`{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|` +
		`im_start|>assistant\n' }}{% endif %}`)
	if err != nil {
		b.Fatal(err)
	}
	messages := NewList()
	for range 10 {
		messages.Items = append(messages.Items, NewDict().Set("role", "user").Set("content", string(make([]byte, 100))))
	}
	data := NewDict().Set("messages", messages)
	b.SetBytes(1000)
	for b.Loop() {
		if _, _, err := t.Render(data, day); err != nil {
			b.Fatal(err)
		}
	}
}
