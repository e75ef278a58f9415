//go:build !cgo || js

package gpu

// This file stands in where there is no driver, so that importers of the package
// compile: for js/wasm, and without cgo. It has no adapter, and says so.

// defaultDriver is the driver of Open and Adapters.
var defaultDriver driver = noDriver{}

// driverMissing says why no adapter is found.
const driverMissing = "this program was built without a GPU driver (for js/wasm, or with CGO_ENABLED=0): " +
	"build it with CGO_ENABLED=1 and a C compiler"

type noDriver struct{}

func (noDriver) list(uint32) driverAdapters { return noAdapters{} }
func (noDriver) physicalMemory() int64      { return 0 }

type noAdapters struct{}

func (noAdapters) all() []rawAdapter                           { return nil }
func (noAdapters) open(int, bool, bool) (driverDevice, string) { return nil, driverMissing }
func (noAdapters) free()                                       {}
