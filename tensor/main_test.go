package tensor_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"concord/gpu"
)

// TestMain leaves the examples out, as tests skip, where there is no adapter; but
// REQUIRE_GPU=1 (set by CI) makes that a failure.
func TestMain(m *testing.M) {
	flag.Parse()
	if _, err := gpu.Adapters(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		fmt.Println("examples are skipped:", err)
		flag.Set("test.skip", "^Example")
	}
	os.Exit(m.Run())
}
