package infer

import (
	"os"
	"path/filepath"
	"testing"

	"concord/internal/config"
	"concord/internal/train/traintest"
)

// tiny is the folder of the fixture's model, and the device to run it on.
func tiny(t testing.TB) (base string, d config.Device) {
	t.Helper()
	traintest.RequireAdapter(t)
	base = filepath.Join(t.TempDir(), "base")
	traintest.Base(t, base, nil)
	return base, config.Device{Adapter: os.Getenv("CONCORD_ADAPTER")}
}
