package config

import (
	"strings"
	"testing"
)

// What is said of an adapter is done, or refused with the line that fixes it.
func TestAdapterKeys(t *testing.T) {
	for lines, want := range map[string]string{
		"rank = 8": `kind = "lora"`, "kind = \"dora\"": `"dora" is not one of`, "kind = \"lora\"\nrank = 0": "outside 1", "kind = \"lora\"\nalpha = -1.0": "not positive",
		"kind = \"lora\"\ntargets = []": "nothing is adapted", "kind = \"lora\"\ntargets = [\"all-linear\", \"q_proj\"]": "no others beside it",
		"kind = \"lora\"\ndropout = 1.0": "adapter.dropout", "dropout = 0.1": `kind = "lora"`, "from = \"a\"\ndropout = 0.1": "its own dropout", "from = \"nowhere\"": "no PEFT adapter", "from = \"a\"\nrank = 3": "its own rank", "kind = \"lora\"\nsave = 3": "in quotes",
	} {
		path := write(t, good+"\n[adapter]\n"+lines+"\n")
		if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
	path := write(t, good)
	if _, err := Load(path, []string{"model.base_type=int8"}); err == nil || !strings.Contains(err.Error(), `kind = "lora"`) {
		t.Errorf("base_type without anything frozen: %v", err)
	}
	if _, err := Load(path, []string{"model.embedding_type=nf4"}); err == nil || !strings.Contains(err.Error(), "model.embedding_type") {
		t.Errorf("embedding_type without anything frozen: %v", err)
	}
	c, err := Load(path, []string{"model.base_type=int8", "adapter.kind=lora"})
	if err != nil || !c.Adapted() || !c.KeepsBase() || c.Adapter.Rank != 16 {
		t.Errorf("%+v, %v", c, err)
	}
}
