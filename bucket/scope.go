package bucket

// Scope says which parameters are resolved together. The zero value is ByLayer.
type Scope struct {
	kind  int
	bytes int64 // of one float32 gradient; 0 for the named ones
}

// The scopes; BySize makes others.
var (
	ByLayer  = Scope{}
	ByTensor = Scope{kind: 1}
	Global   = Scope{kind: 2}
)

// BySize is buckets of so many bytes of one float32 gradient, 1 or more.
func BySize(bytes int64) Scope { return Scope{bytes: max(1, bytes)} }
