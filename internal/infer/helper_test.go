package infer

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"concord/internal/device"
	"concord/internal/train/traintest"
)

// tiny is the folder of the fixture's model, and the device to run it on.
func tiny(t testing.TB) (base string, d device.Options) {
	t.Helper()
	traintest.RequireAdapter(t)
	base = filepath.Join(t.TempDir(), "base")
	traintest.Base(t, base, nil)
	return base, device.Options{Adapter: os.Getenv("CONCORD_ADAPTER"), NoAutotune: true, Warn: io.Discard}
}

// saying is d with its warnings on w.
func saying(d device.Options, w io.Writer) device.Options {
	d.Warn = w
	return d
}
