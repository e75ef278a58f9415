// Package config reads a run file: TOML, strictly. An unknown key, a wrong
// type, a missing value or a value out of range is an *Error that says what,
// where (file:line) and which line fixes it. It knows nothing of what the
// values do; start reading at Config and Load.
package config

import "path/filepath"

// Config is a run file with defaults filled in. Field tags are the TOML keys.
type Config struct {
	Schema     int        `toml:"schema"`
	Run        Run        `toml:"run"`
	Model      Model      `toml:"model"`
	Data       Data       `toml:"data"`
	Batch      Batch      `toml:"batch"`
	Objective  Objective  `toml:"objective"`
	Optim      Optim      `toml:"optim"`
	Schedule   Schedule   `toml:"schedule"`
	Eval       Eval       `toml:"eval"`
	Checkpoint Checkpoint `toml:"checkpoint"`
	Log        Log        `toml:"log"`
	Probe      Probe      `toml:"probe"`
	Device     Device     `toml:"device"`
	Cluster    Cluster    `toml:"cluster"`

	path     string            // the run file
	restored bool              // of a run that goes on: it has weights of its own
	origins  map[string]string // key path → "file:line", "-o" or absent for a default
}

// Run names the run and where its output goes.
type Run struct {
	Name string `toml:"name"` // default: the run file's folder
	Seed uint64 `toml:"seed"` // keys every random choice
	Dir  string `toml:"dir"`  // output goes to DIR/NAME; relative to the working directory
}

// Model is the base model.
type Model struct {
	Path      string `toml:"path"`       // Hugging Face folder; relative to the run file
	SaveDtype string `toml:"save_dtype"` // "bf16", "f16", "f32"; "" keeps the base model's
	Init      string `toml:"init"`       // "pretrained" (default) or "random": weights from seed, config.json and tokenizer from Path
}

// Data says what to train and evaluate on.
type Data struct {
	MaxLen      int      `toml:"max_len"`     // tokens of one example; 0: batch.seq_len
	Overlong    string   `toml:"overlong"`    // "auto", "drop", "truncate", "split", "error"
	Template    string   `toml:"template"`    // of conversations: "" is the model's own chat template, "chatml", or a file, relative to the run file
	Temperature float64  `toml:"temperature"` // languages are drawn with probability ∝ tokens^(1/T)
	MaxRepeat   float64  `toml:"max_repeat"`  // no language is read more than so many times while all data is read once; 0: no bound
	Source      []Source `toml:"source"`
}

// Source is one language's data, or that of several languages in the same files.
type Source struct {
	Lang       string            `toml:"lang"`
	Path       Paths             `toml:"path"`        // files, relative to the run file
	Format     string            `toml:"format"`      // "" by extension, "jsonl", "json", "csv", "tsv", "parquet", "text" (a paragraph a document), "lines" (a line a document)
	Heldout    Paths             `toml:"heldout"`     // files of held-out examples, relative to the run file
	Holdout    float64           `toml:"holdout"`     // instead: what to hold out of Path, by hash; below 1 a share, from 1 on a number of documents
	Train      bool              `toml:"train"`       // false: evaluation only (an unseen language)
	TrainOn    string            `toml:"train_on"`    // "completion" or "all"; "" is completion where there is a prompt
	Columns    map[string]string `toml:"columns"`     // our name of a column → the file's, e.g. {prompt = "question", completion = "answer"}
	Roles      map[string]string `toml:"roles"`       // our role of a message → the file's, e.g. {assistant = "bot"}
	LangColumn string            `toml:"lang_column"` // in place of lang: the column that names each document's language
	Langs      []string          `toml:"langs"`       // with lang_column: the languages that are read; none: all
}

// Batch is the shape of one step.
type Batch struct {
	Rows        int `toml:"rows"`         // packed rows per step
	SeqLen      int `toml:"seq_len"`      // tokens per row
	Accumulate  int `toml:"accumulate"`   // micro-batches of that shape per step; the languages' gradients are summed before they are resolved
	LogitsChunk int `toml:"logits_chunk"` // tokens whose logits exist at one time; 0: chosen
}

// Objective says how the languages' gradients become one.
type Objective struct {
	Method      string             `toml:"method"`
	Scope       string             `toml:"scope"`       // "tensor", "layer", "<n>MB", "global"
	Options     map[string]any     `toml:"options"`     // the method's hyper-parameters, e.g. c = 0.4
	Weights     map[string]float64 `toml:"weights"`     // per language, for method "static"
	Preferences map[string]float64 `toml:"preferences"` // per language; what is not named has 1
	Normalise   string             `toml:"normalise"`   // "none", "l2", "loss", "loss+": gradients before they are resolved
	EMA         float64            `toml:"ema"`         // CR-MOGM: share of the last step's weights in this step's
	Every       int                `toml:"every"`       // weights are solved every so many steps and kept in between
	Warmup      int                `toml:"warmup"`      // steps of mean before the method
	Control     string             `toml:"control"`     // "norm", "direction", "" neither: only the length, or only the direction, of what the method gives
	Metric      string             `toml:"metric"`      // "euclidean", or "adam": the Gram in the optimizer's metric
	Gram        string             `toml:"gram"`        // "auto", "rows" or "ghost": how linear layers' Grams are computed
	InFlight    int                `toml:"in_flight"`   // units whose rows may exist at one time; 0: 1 on a CPU adapter, 2 otherwise
	Noise       Noise              `toml:"noise"`
	Override    []Override         `toml:"override"`
}

// Noise is about the part of a language's gradient that is chance.
type Noise struct {
	Halves bool    `toml:"halves"` // measure it: two half-batches per language
	Debias bool    `toml:"debias"` // and take it out of the Gram's diagonal
	EMA    float64 `toml:"ema"`    // share of the earlier steps' estimate
	Floor  float64 `toml:"floor"`  // the debiased diagonal is at least this share of the raw one
}

// Override resolves some parameters by another method.
type Override struct {
	Match   string         `toml:"match"` // pattern of parameter names; * is any text
	Method  string         `toml:"method"`
	Options map[string]any `toml:"options"`
}

// Probe measures what single steps did to every language's loss.
type Probe struct {
	Every int `toml:"every"` // steps; 0: never
}

// Optim is the optimizer, AdamW.
type Optim struct {
	LR          float64   `toml:"lr"`
	Betas       []float64 `toml:"betas"`
	Eps         float64   `toml:"eps"`
	WeightDecay float64   `toml:"weight_decay"`
	Clip        float64   `toml:"clip"` // global gradient norm; 0: off
}

// Schedule is the learning rate over the run and the run's length.
type Schedule struct {
	Kind     string  `toml:"kind"`      // "cosine", "linear", "constant"
	Steps    int     `toml:"steps"`     // exactly one of steps, epochs, tokens
	Epochs   float64 `toml:"epochs"`    // every language is read so many times; with temperature small ones more often
	Tokens   int     `toml:"tokens"`    // tokens read, padding not counted
	Warmup   float64 `toml:"warmup"`    // steps, or a fraction of the run when below 1
	MinRatio float64 `toml:"min_ratio"` // the learning rate that the decay ends at, after the last step, over the peak
}

// Eval says when to measure every language.
type Eval struct {
	Every int  `toml:"every"` // steps; 0: only first and last
	Rows  int  `toml:"rows"`  // examples per language at most; 0: all
	First bool `toml:"first"`
	Last  bool `toml:"last"`
}

// Checkpoint says when to save and what to keep.
type Checkpoint struct {
	Every int  `toml:"every"` // steps; 0: only at the end and on Ctrl-C
	Keep  int  `toml:"keep"`  // the newest n
	Best  bool `toml:"best"`  // also the one with the lowest mean bits per byte of the trained languages
}

// Log says how often a plain line is printed.
type Log struct {
	Every     int `toml:"every"`      // steps between plain lines when the output is not a terminal
	GramEvery int `toml:"gram_every"` // steps between snapshots of the Grams in metrics.jsonl; 0: about 200 in a run
}

// Device chooses the adapter.
type Device struct {
	Adapter     string `toml:"adapter"` // "" best; an index or a part of the name (see concord doctor)
	Backend     string `toml:"backend"` // "", "vulkan", "metal", "dx12"
	Memory      string `toml:"memory"`  // budget, e.g. "6GB"; "" see concord doctor
	Autotune    bool   `toml:"autotune"`
	GEMM        string `toml:"gemm"`         // force one GEMM variant
	CacheDir    string `toml:"cache_dir"`    // autotune results; "" the user's cache folder
	ReadTimeout int    `toml:"read_timeout"` // seconds to wait for the device
}

// Cluster is a run on many machines. It is one when Listen is given.
type Cluster struct {
	Listen      string  `toml:"listen"`   // address of machine 1, such as ":4433"
	Workers     int     `toml:"workers"`  // machines that the first step waits for, this one included
	Wire        string  `toml:"wire"`     // how gradients travel: "bf16", "f32", "int8" with error feedback; "" is int8 with outer steps, else bf16
	Resolve     string  `toml:"resolve"`  // "exact", or "local": each machine resolves its own languages and sends one gradient, an approximation for slow links
	Sync        string  `toml:"sync"`     // "gradients": everyone updates its weights; "parameters": owners do, and keep the optimizer's state (ZeRO-1)
	Outer       int     `toml:"outer"`    // H > 0: machines make H steps by themselves, then the languages' changes are resolved (DiLoCo), for the internet
	OuterLR     float64 `toml:"outer_lr"` // of the outer step: Nesterov momentum
	OuterMoment float64 `toml:"outer_momentum"`
	Shares      string  `toml:"shares"`       // "speed": rows by measured speed; "equal": with f32 and no deadline the same bits every time
	Deadline    bool    `toml:"deadline"`     // do without the rows of machines that are much later than the last steps let expect
	CheckEvery  int     `toml:"check_every"`  // steps between comparisons of all machines' weights; 0: never
	Silence     float64 `toml:"silence"`      // seconds without a sign of life after which a machine is out
	UploadLimit string  `toml:"upload_limit"` // bytes per second that a machine sends, e.g. "2MB"; "" no limit
	WAN         bool    `toml:"wan"`          // links over the internet: more patience
	JoinHours   float64 `toml:"join_hours"`   // how long the join line is valid
	JoinUses    int     `toml:"join_uses"`    // machines that it admits; 0: any number
}

// Clustered says that the run is one on many machines.
func (c *Config) Clustered() bool { return c.Cluster.Listen != "" }

// Local says that machines resolve their languages by themselves.
func (c Cluster) Local() bool { return c.Resolve == "local" }

// Format is the wire format in use.
func (c Cluster) Format() string {
	switch {
	case c.Wire != "":
		return c.Wire
	case c.Outer > 0:
		return "int8"
	}
	return "bf16"
}

// OuterSteps is how many steps machines make by themselves between two exchanges; 0
// where every step is one.
func (c *Config) OuterSteps() int {
	if c.Clustered() {
		return c.Cluster.Outer
	}
	return 0
}

// Sharded says that the optimizer's state is divided among the machines.
func (c *Config) Sharded() bool { return c.Clustered() && c.Cluster.Sync == "parameters" }

// Default is the configuration of an empty run file.
func Default() *Config {
	return &Config{
		Schema:     1,
		Run:        Run{Seed: 1, Dir: "runs"},
		Model:      Model{Init: "pretrained"},
		Data:       Data{Overlong: "auto", Temperature: 1, MaxRepeat: 10},
		Batch:      Batch{Rows: 8, SeqLen: 256, Accumulate: 1},
		Objective:  Objective{Method: "mean", Scope: "layer", Normalise: "none", Every: 1, Metric: "euclidean", Gram: "auto", Noise: Noise{EMA: 0.9, Floor: 0.1}},
		Optim:      Optim{LR: 2e-5, Betas: []float64{0.9, 0.999}, Eps: 1e-8, Clip: 1},
		Schedule:   Schedule{Kind: "cosine", Warmup: 0.03},
		Eval:       Eval{First: true, Last: true},
		Checkpoint: Checkpoint{Every: 100, Keep: 2, Best: true},
		Log:        Log{Every: 10},
		Device:     Device{Autotune: true, ReadTimeout: 120},
		Cluster:    Cluster{Workers: 1, Resolve: "exact", Sync: "gradients", OuterLR: 0.7, OuterMoment: 0.5, Shares: "speed", Deadline: true, CheckEvery: 100, Silence: 3, JoinHours: 24},
	}
}

// Path is the run file's path, "" for a configuration that was not read from one.
func (c *Config) Path() string { return c.path }

// Resolve makes p, a path in the run file, relative to the run file's folder.
func (c *Config) Resolve(p string) string {
	if p == "" || filepath.IsAbs(p) || c.path == "" {
		return p
	}
	return filepath.Join(filepath.Dir(c.path), filepath.FromSlash(p))
}

// OutDir is the run's folder.
func (c *Config) OutDir() string { return filepath.Join(c.Run.Dir, c.Run.Name) }

// Origin says where the key's value comes from: "file:line", "-o" or "default".
func (c *Config) Origin(key string) string {
	if o, ok := c.origins[key]; ok {
		return o
	}
	return "default"
}
