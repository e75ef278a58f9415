package peft

import "testing"

// Whatever a configuration says, it is read or refused.
func FuzzParse(f *testing.F) {
	c := Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, Base: "base"}
	text, err := c.JSON(c.Targets)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"peft_type": "LORA", "r": 1e9, "lora_alpha": -1, "target_modules": {"a": 1}}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := parse(b)
		if err == nil && (c.Rank < 1 || c.Rank > MaxRank) {
			t.Errorf("rank %d is accepted", c.Rank)
		}
	})
}
