package train

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/peft"
	"concord/internal/train/traintest"
)

// An adapter to start from that the model cannot have is refused with a fix that can be followed: its
// targets are its own.
func TestAdapterFromIsRefused(t *testing.T) {
	from := t.TempDir()
	traintest.WriteFile(t, filepath.Join(from, peft.ConfigFile), `{"peft_type": "LORA", "r": 3, "target_modules": ["embed_tokens"]}`)
	_, err := Check(load(t, tiny(t).Path(), "adapter.from="+from))
	var conf *config.Error
	if !errors.As(err, &conf) || !strings.Contains(conf.Msg, "ensure_weight_tying") || !strings.Contains(conf.Fix, "merge_and_unload") {
		t.Errorf("an embedding's adapter beside a tied head: %v", err)
	}
}
