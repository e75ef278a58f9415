package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"concord/internal/cluster/protocol"
)

// Contents that a machine has are not sent, whatever they are called there; a file of the
// same size with another content is no such, and a changed file is sent again.
func TestContentIsSentOnce(t *testing.T) {
	t.Parallel()
	h, _ := hosted(t)
	w, err := join(t, t.TempDir(), h.Line)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sum := sha256.Sum256([]byte("abc"))
	w.Welcome.Files = []protocol.File{{Name: "data", Size: 3, Hash: hex.EncodeToString(sum[:])}}
	fetch := func(dir string, have ...string) (sent []string) {
		t.Helper()
		err := w.Fetch(t.Context(), Files{Dir: dir, Have: have, Say: func(f protocol.File) { sent = append(sent, f.Name) }})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "data")); err != nil || string(b) != "abc" {
			t.Fatalf("%q: %v", b, err)
		}
		return sent
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, other := t.TempDir(), t.TempDir()
	write(filepath.Join(other, "x"), "abd")
	if sent := fetch(first, other, filepath.Join(other, "nothing")); !slices.Equal(sent, []string{"data"}) {
		t.Errorf("sent at first: %q", sent)
	}
	if sent := fetch(first); sent != nil {
		t.Errorf("sent again: %q", sent)
	}
	write(filepath.Join(other, "y"), "abc")
	if sent := fetch(t.TempDir(), other); sent != nil {
		t.Errorf("sent to who has it under another name: %q", sent)
	}
	write(filepath.Join(first, "data"), "abd")
	if sent := fetch(first, first); !slices.Equal(sent, []string{"data"}) {
		t.Errorf("sent in place of a changed file: %q", sent)
	}
}
