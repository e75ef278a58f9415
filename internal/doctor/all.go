package doctor

import "slices"

// Tests lists the self-tests of every kernel, forward and backward, in the order
// of a training step. A kernel may have several.
func Tests() []Test {
	return slices.Concat(
		embeddingTests(), convertTests(), blockTests(), rmsnormTests(), matmulTests(), biasTests(), ropeTests(), attentionTests(),
		addTests(), swigluTests(), gegluTests(), geluTests(), layernormTests(),
		scaleRowsTests(), dropoutTests(), doraTests(), elementwiseTests(), gramAdamTests(), ghostTests(), vocabularyTests(),
		crossEntropyTests(), gramTests(), combineTests(), sumSquaresTests(), adamwTests(), adamwPackedTests(), factoredTests(),
	)
}
