package tensor

import (
	"fmt"
	"math"

	"concord/gpu"
)

type dropoutParams struct {
	Total, C4, XLD4, OutLD4, Key0, Key1, Bound, Accumulate uint32
	Factor                                                 float32
}

// Dropout is out = x/(1−share), with exact zeros for a share of the values (Srivastava
// et al., JMLR 15, 2014; 0 <= share < 1). x and out are (N, C) in different buffers; it is added
// to out if accumulate. Which values are left out is a function of key, of the number of
// the row's token, and of the column alone: tokens (1, 2N) holds for each row the low and the
// high word of that number, as UploadU32 takes them. Called again it draws the same.
func (e *Engine) Dropout(out, x, tokens Tensor, share float64, key [2]uint32, accumulate bool) {
	if out.R != x.R || out.C != x.C || out.Buf == x.Buf || tokens.R*tokens.C < 2*x.R || !(share >= 0 && share < 1) {
		panic(fmt.Sprintf("tensor: dropout of %v: %v to %v by tokens %v", share, x, out, tokens))
	}
	n := x.R * int(vec4s(x.C))
	if n == 0 {
		return
	}
	e.run(call{
		kernel: "dropout",
		params: dropoutParams{Total: uint32(n), C4: vec4s(x.C), XLD4: vec4s(x.LD), OutLD4: vec4s(out.LD), Key0: key[0], Key1: key[1],
			Bound: uint32(min(math.Round(share*(1<<32)), math.MaxUint32)), Accumulate: asU32(accumulate), Factor: float32(1 / (1 - share))},
		binds:  []gpu.View{tokens.View(), x.View(), out.View()},
		groups: grid(ceilDiv(n, elementwiseWG)),
		work:   e.moving(int64(n)*32, elements(n)),
	})
}
