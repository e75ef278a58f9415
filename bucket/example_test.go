package bucket_test

import (
	"fmt"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/param"
	"concord/moo"
	"concord/tensor"
)

// linear is a linear layer's weight.
func linear(name string, layer, out, in int) bucket.Param {
	return bucket.Param{Spec: param.Spec{Name: name, Kind: param.Linear, Layer: layer, R: out, C: in}}
}

// Parameters, in the order in which the backward pass completes them, become the groups
// that are resolved together: here one for each decoder layer, and the embedding.
func ExamplePartition() {
	embedding := bucket.Param{Spec: param.Spec{Name: "embed", Kind: param.Embedding, Layer: param.NoLayer, R: 256, C: 64}}
	layout, err := bucket.Partition([]bucket.Param{
		linear("layers.1.up", 1, 64, 64), linear("layers.1.down", 1, 64, 64),
		linear("layers.0.up", 0, 64, 64), linear("layers.0.down", 0, 64, 64), embedding,
	}, bucket.ByLayer, bucket.Limits{})
	for _, g := range layout.Groups {
		fmt.Printf("%s: %d values\n", g.Name, g.Size)
	}
	fmt.Println(err)
	// Output:
	// layer 1: 8192 values
	// layer 0: 8192 values
	// embed: 16384 values
	// <nil>
}

// byPCGrad resolves every group by PCGrad.
type byPCGrad struct{}

func (byPCGrad) StaticWeights(int) []float64 { return nil }

func (byPCGrad) Solve(p bucket.Problem) (bucket.Solution, error) {
	method, err := moo.New("pcgrad", nil)
	if err != nil {
		return bucket.Solution{}, err
	}
	r, err := moo.Solve(method, moo.Input{G: p.G})
	return bucket.Solution{Weights: r.Weights}, err
}

// One linear layer, three tokens: the first two are of one language, the third of
// another, and their gradients conflict. The resolver takes the layer's operands during
// the backward pass and leaves the combined gradient in the store.
func ExampleResolver() {
	dev, err := gpu.Open(gpu.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dev.Close()
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
	layout, err := bucket.Partition([]bucket.Param{linear("w", 0, 2, 2)}, bucket.ByLayer, bucket.Limits{Objectives: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := bucket.NewStore(e, layout, bucket.Gradient)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := bucket.NewResolver(store, bucket.Options{Objectives: 2, Solver: byPCGrad{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	dy, x := e.New(gpu.RoleScratch, "dy", 3, 2), e.New(gpu.RoleScratch, "x", 3, 2)
	e.Upload(dy, []float32{1, 0, 0, 1, -1, -1})
	e.Upload(x, []float32{1, 2, 3, 4, 5, 6})

	r.Begin(1)
	r.Linear("w", dy, x, e.NewSegments(gpu.RoleData, []int{0, 2, 3}))
	report, err := r.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := store.Read(bucket.Gradient, "w")
	b := report.Buckets[0]
	fmt.Printf("conflicts: %d of %d pairs, Gram diagonal %g and %g\n", b.Negative, b.Pairs, b.G.At(0, 0), b.G.At(1, 1))
	fmt.Println("as a sum:", []float32{1 - 5, 2 - 6, 3 - 5, 4 - 6})
	fmt.Printf("resolved: %.3f %v\n", g, err)
	// Output:
	// conflicts: 1 of 1 pairs, Gram diagonal 30 and 122
	// as a sum: [-4 -4 -2 -2]
	// resolved: [-4.428 -3.021 1.305 2.713] <nil>
}
