package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/tensor"
)

// convertTests stores and loads every element type: the device rounds as the host does.
func convertTests() []Test {
	return []Test{{"convert", func(e *Probe) error {
		const r, c = 5, 70
		data := optest.Random(r*c, 1)
		for _, from := range tensor.DTypes() {
			x := e.NewTyped(gpu.RoleScratch, "doctor", from, r, c)
			e.Upload(x, data)
			for _, to := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16} {
				out := e.NewTyped(gpu.RoleScratch, "doctor", to, r, c)
				e.Convert(out, x)
				host, err := e.Download(x) // decoded on the host
				if err != nil {
					return err
				}
				if err := same(e, fmt.Sprintf("%v to %v", from, to), out, to.Decode(to.Encode(host))); err != nil {
					return err
				}
				release(out)
			}
			release(x)
		}
		return nil
	}}}
}
