// Package doctor is the numeric self-test of every kernel, forward and
// backward, against its CPU twin in internal/ref, for the user's own device and
// driver. Together with tests and internal/stepcheck, which compares a whole step, it is
// the only importer of internal/ref.
package doctor

// Test checks one kernel.
type Test struct {
	Kernel string               // stem of the WGSL file
	Run    func(e *Probe) error // nil when the device and the CPU compute the same
}
