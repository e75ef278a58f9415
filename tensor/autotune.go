package tensor

// Options chooses how the engine picks its matrix-product kernels.
type Options struct {
	NoAutotune bool              // use the built-in table instead of measuring
	CacheDir   string            // where measured choices are kept; "" = the user's cache directory, concord below it
	Variant    string            // force one variant for every product, "" = choose
	Choices    map[string]string // choices of an earlier run (Engine.TuneChoices), replayed exactly
}

// tuner picks a matrix-product variant for an operation and shape class.
type tuner struct {
	e   *Engine
	opt Options
}

func newTuner(e *Engine, opt Options) *tuner { return &tuner{e: e, opt: opt} }
