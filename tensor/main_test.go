package tensor_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"concord/gpu"
)

// TestMain leaves the examples out, as tests skip, where there is no adapter; but
// REQUIRE_GPU=1 (set by CI) makes that a failure. Kernels take longer to compile than
// these sizes to compute, so a device goes from test to test.
func TestMain(m *testing.M) {
	flag.Parse()
	gpu.KeepDevices()
	if _, err := gpu.Adapters(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		fmt.Println("examples are skipped:", err)
		flag.Set("test.skip", "^Example")
	}
	os.Exit(m.Run())
}
