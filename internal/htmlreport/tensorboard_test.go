package htmlreport

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTensorBoard holds that every curve is in the file, that a second call replaces the
// first, and that values that do not exist are left out.
func TestTensorBoard(t *testing.T) {
	run, err := Load(sample(t, 6))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tb")
	first, err := run.WriteTensorBoard(dir, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	path, err := run.WriteTensorBoard(dir, time.Unix(2000, 0))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]int{"train/loss": 6, "train/learning_rate": 6, "loss/aa": 6, "bits_per_byte/unseen": 2,
		"bits_per_byte/mean_seen": 2, "conflict/negative_share": 0} {
		if n := bytes.Count(b, []byte(tag)); n != want && !(tag == "loss/aa" && n >= want) {
			t.Errorf("%s: %d values, want %d", tag, n, want)
		}
	}
	if _, err := os.Stat(first); err == nil {
		t.Error("the file of the first call is still there: its curves would be shown twice")
	}
}
