// Package config reads a run file: TOML, strictly. An unknown key, a wrong
// type, a missing value or a value out of range is an *Error that names the fault,
// the place (file:line) and the line that fixes it. It knows nothing of the work that the
// values do; start reading at Config and Load.
package config

import "path/filepath"

// Config is a run file with defaults filled in. Field tags are the TOML keys.
type Config struct {
	// The version of the run file's form; always 1.
	Schema     int        `toml:"schema" eg:"1"`
	Run        Run        `toml:"run"`
	Model      Model      `toml:"model"`
	Adapter    Adapter    `toml:"adapter"`
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
	Memory     Memory     `toml:"memory"`
	Cluster    Cluster    `toml:"cluster"`

	path     string            // the run file
	restored bool              // of a run that goes on: it has weights of its own
	origins  map[string]string // key path → "file:line", "-o" or absent for a default
}

// Run names the run and where its output goes.
type Run struct {
	// The run's name; by default that of the run file's folder. A second run gets -2.
	Name string `toml:"name" eg:"sw-yo"`
	// Decides every random choice: the same seed on the same device gives the same bits.
	Seed uint64 `toml:"seed" eg:"7"`
	// The run's folder is DIR/NAME; relative to the working directory. ~/ is the home folder.
	Dir string `toml:"dir" eg:"~/runs"`
}

// Model is the base model.
type Model struct {
	// The base model: a Hugging Face folder (config.json, tokenizer.json, *.safetensors) or a GGUF file, relative to the run file.
	Path string `toml:"path" eg:"../base"`
	// Element type of the tuned model's weights; "" is the base model's.
	SaveDtype DType `toml:"save_dtype" one:",bf16,f16,f32" eg:"bf16"`
	// Element type of the matrices that are trained; "" is f32. bf16 is rounded up or down by chance in every update, so that
	// small ones are not lost.
	Dtype DType `toml:"dtype" one:",f32,bf16" eg:"bf16"`
	// Element type of the matrices that are not trained, decoded as products load them; "" is dtype's. With nf4 embeddings and
	// head are int8; with gguf each lies as in the GGUF file of model.path.
	BaseType BaseType `toml:"base_type" one:",bf16,f16,int8,nf4,gguf" eg:"int8"`
	// Element type of embeddings and head where they are not trained; "" goes by base_type. "bf16" or "f32" leaves them as other
	// programs do, "nf4" takes the least.
	EmbeddingType BaseType `toml:"embedding_type" one:",f32,bf16,f16,int8,nf4" eg:"nf4"`
	// "random" draws the weights anew from the seed; of the folder only config.json and tokenizer.json are used.
	Init Init `toml:"init" one:"pretrained,random" eg:"random"`
	// Patterns of parameters' names that are not trained; * is any text. They take no gradient, no optimizer state and no part in conflicts.
	Freeze []string `toml:"freeze" eg:"*embed*"`
}

// Adapter trains small matrices beside a base model that stays as it is.
type Adapter struct {
	// "lora"; "rslora", whose scale falls with the square root of the rank; "" trains the model itself.
	Kind AdapterKind `toml:"kind" one:",lora,rslora" eg:"lora"`
	// Rank of the matrices.
	Rank int `toml:"rank" range:"1,4096" eg:"8"`
	// The adapter's output is scaled by alpha / rank.
	Alpha float64 `toml:"alpha" eg:"16"`
	// The adapted modules, by the ends of their names, as in PEFT's target_modules, embedding and head too; "all-linear": layers only.
	Targets Names `toml:"targets" eg:"q_proj"`
	// Modules that are trained whole, as in PEFT's modules_to_save: embeddings, head. Tied ones are one, by either name.
	Save Names `toml:"save" eg:"embed_tokens"`
	// Also trains the length of every adapted row of weights (DoRA).
	DoRA bool `toml:"dora" eg:"true"`
	// The share of an adapter's inputs that is left out at random in training, PEFT's lora_dropout.
	Dropout float64 `toml:"dropout" range:"0,0.99" eg:"0.05"`
	// The decoder layers whose modules are adapted, 0 first, as in PEFT's layers_to_transform; [] is all.
	Layers []int `toml:"layers" eg:"[0]"`
	// The rank of modules that have another, by the ends of their names.
	RankPattern map[string]int `toml:"rank_pattern" eg:"{v_proj = 4}"`
	// The alpha of modules that have another, by the ends of their names.
	AlphaPattern map[string]float64 `toml:"alpha_pattern" eg:"{v_proj = 8.0}"`
	// Starts from the PEFT adapter in this folder, relative to the run file; all other settings are then its own.
	From string `toml:"from" eg:"../adapter"`
}

// Data is the texts to train and evaluate on.
type Data struct {
	// Longest example in tokens; 0 is batch.seq_len, the most that fits.
	MaxLen int `toml:"max_len" eg:"512"`
	// The treatment of documents longer than max_len; "auto" splits text and drops documents that have a prompt.
	Overlong Overlong `toml:"overlong" one:"auto,drop,truncate,split,error" eg:"split"`
	// Renders conversations: "" is the model's own chat template, "chatml", or a file, relative to the run file.
	Template string `toml:"template" eg:"chatml"`
	// Languages are drawn with probability ∝ tokens^(1/T): 1 is as the data is, more evens them out.
	Temperature float64 `toml:"temperature" range:"1e-3,1e9" eg:"3.0"`
	// No language is read more than so many times while all data is read once; 0: no bound.
	MaxRepeat float64 `toml:"max_repeat" eg:"4.0"`
	// How a step's rows are divided among the languages: "stratified" as evenly as their shares allow, "iid" each row drawn by itself,
	// as a plain shuffled mixture is.
	Mixing Mixing `toml:"mixing" one:"stratified,iid" eg:"iid"`
	// Puts translations of the same examples into one step: those with one value of each source's "key", or "line" n of every file.
	Align  Align    `toml:"align" one:",key,line" eg:"line"`
	Source []Source `toml:"source"`
}

// Source is one language's data, or that of several languages in the same files.
type Source struct {
	// The language: any name, used in all reports.
	Lang string `toml:"lang" eg:"sw"`
	// A file, a pattern of names or a list of both, relative to the run file.
	Path Paths `toml:"path" eg:"data/sw/*.jsonl.gz"`
	// Form of the files; "" goes by the extension, below .gz and .zst. "text" is a paragraph a document, "lines" a line.
	Format Format `toml:"format" one:",jsonl,json,csv,tsv,parquet,text,lines" eg:"lines"`
	// Files of held-out examples, written as path is.
	Heldout Paths `toml:"heldout" eg:"data/sw.heldout.jsonl"`
	// The part of path to hold out, in place of heldout: below 1 a share, from 1 on a number of documents. Equal keys, texts or prompts
	// stay together, so it may be a few more; which ones follows from their text.
	Holdout float64 `toml:"holdout" eg:"0.05"`
	// False: the language is only measured (an unseen language), all of path and heldout.
	Train bool `toml:"train" eg:"false"`
	// The part that is learnt where there is a prompt: the completion ("" too), or all.
	TrainOn TrainOn `toml:"train_on" one:",completion,all" eg:"all"`
	// Our name of a column → the file's. Ours are text; prompt, completion; messages; conversations (ShareGPT); instruction, input,
	// output (Alpaca); instruction, context, response (Dolly); inputs, targets (Aya); system, tools, history.
	Columns map[string]string `toml:"columns" eg:"{prompt = 'question', completion = 'answer'}"`
	// Our role of a message → the file's. Ours are user, assistant, system, developer, tool.
	Roles map[string]string `toml:"roles" eg:"{assistant = 'bot'}"`
	// The column that names each document's language, in place of lang: one file of many languages.
	LangColumn string `toml:"lang_column" eg:"language_code"`
	// The languages that are read of lang_column; none: all.
	Langs []string `toml:"langs" eg:"swa,yor"`
	// The column that names each example, the same in all translations: for data.align = "key". Examples of one key are held out together.
	Key string `toml:"key" eg:"id"`
}

// Batch is the shape of one step.
type Batch struct {
	// Rows of a step; examples are packed into them.
	Rows int `toml:"rows" range:"1,65536" eg:"8"`
	// Tokens of a row.
	SeqLen int `toml:"seq_len" range:"2,1048576" eg:"256"`
	// Micro-batches of that shape in a step; the languages' gradients are summed before they are resolved.
	Accumulate int `toml:"accumulate" range:"1,65536" eg:"4"`
	// Tokens whose logits exist at one time; 0: chosen.
	LogitsChunk int `toml:"logits_chunk" range:"0,1048576" eg:"0"`
}

// Objective says how the languages' gradients become one.
type Objective struct {
	// How the languages' gradients become one: see concord moo methods.
	Method Method `toml:"method" eg:"pcgrad"`
	// The parameters that are resolved together: each "tensor", each "layer", buckets of a size such as "16MB", or "global": all at once.
	Scope Scope `toml:"scope" eg:"16MB"`
	// The method's hyper-parameters; concord moo methods lists them.
	Options map[string]any `toml:"options" eg:"{c = 0.4}"`
	// Weight of each language, for method "static".
	Weights map[string]float64 `toml:"weights" eg:"{sw = 1.0}"`
	// How much a language counts, for methods that take preferences; languages that are not named have 1.
	Preferences map[string]float64 `toml:"preferences" eg:"{sw = 2.0}"`
	// How the languages' gradients are scaled before they are resolved.
	Normalise Normalise `toml:"normalise" one:"none,l2,loss,loss+" eg:"l2"`
	// Share of the last step's weights in this step's (CR-MOGM).
	EMA float64 `toml:"ema" range:"0,1" eg:"0.9"`
	// Steps between solutions of the weights, which are kept in between.
	Every int `toml:"every" range:"1,1e12" eg:"1"`
	// Steps of method "mean" before the method sets in.
	Warmup int `toml:"warmup" range:"0,1e12" eg:"50"`
	// Moves the method's result to the nearest direction that opposes no language ("dual-cone").
	Project Project `toml:"project" one:",dual-cone" eg:"dual-cone"`
	// Takes only the length ("norm") or only the direction of the method's result, and the rest of mean's: an ablation.
	Control Control `toml:"control" one:",norm,direction" eg:"norm"`
	// Metric of the Gram matrix; "adam" is the optimizer's own.
	Metric Metric `toml:"metric" one:"euclidean,adam" eg:"adam"`
	// How linear layers' Gram matrices are computed: from gradient rows, or without them ("ghost").
	Gram Gram `toml:"gram" one:"auto,rows,ghost" eg:"rows"`
	// Groups whose gradient rows may exist at one time; 0 is 1 on a CPU adapter and 2 elsewhere.
	InFlight int        `toml:"in_flight" range:"0,64" eg:"0"`
	Noise    Noise      `toml:"noise"`
	Override []Override `toml:"override"`
}

// Noise is about the part of a language's gradient that is chance.
type Noise struct {
	// Measures the noise of gradients from two half-batches of each language.
	Halves bool `toml:"halves" eg:"true"`
	// Takes the noise out of the Gram matrix's diagonal.
	Debias bool `toml:"debias" eg:"false"`
	// Share of the earlier steps in the estimate of the noise.
	EMA float64 `toml:"ema" range:"0,1" eg:"0.9"`
	// Least share of the diagonal that is left.
	Floor float64 `toml:"floor" range:"0,1" eg:"0.1"`
}

// Override resolves some parameters by another method.
type Override struct {
	// Pattern of parameters' names; * is any text.
	Match string `toml:"match" eg:"*embed*"`
	// The method for these.
	Method Method `toml:"method" eg:"mean"`
	// Its hyper-parameters.
	Options map[string]any `toml:"options" eg:"{c = 0.4}"`
}

// Probe measures the effect of single steps on every language's loss.
type Probe struct {
	// Steps between probes of a step's effect on every language's loss; 0: never.
	Every int `toml:"every" range:"0,1e12" eg:"50"`
}

// Optim is the optimizer.
type Optim struct {
	// "adamw"; "adafactor" keeps the second moment by row and column and no first one: next to no memory. "" is adamw.
	Name Optimizer `toml:"name" one:",adamw,adafactor" eg:"adafactor"`
	// The highest learning rate.
	LR float64 `toml:"lr" range:"0,1e3" eg:"2e-5"`
	// Decay of the first and second moment. Adafactor uses the second of them alone.
	Betas []float64 `toml:"betas" eg:"[0.9, 0.95]"`
	// Added to the root of the second moment.
	Eps float64 `toml:"eps" range:"1e-30,1" eg:"1e-8"`
	// Share of every matrix's weights that decays with the learning rate in a step; norms and biases do not.
	WeightDecay float64 `toml:"weight_decay" range:"0,100" eg:"0.01"`
	// Largest norm of the whole gradient; 0: no bound.
	Clip float64 `toml:"clip" range:"0,1e9" eg:"1.0"`
	// How both moments lie in memory; "" is f32, 4 bytes each. bf16 takes 2 and int8 1.02: see docs/memory.md.
	Moments Moments `toml:"moments" one:",f32,bf16,int8" eg:"int8"`
	// Applies each group's gradient as soon as it is resolved, so that no whole gradient exists: 4 bytes less. It is clipped by
	// the last step's norm.
	InBackward bool `toml:"in_backward" eg:"true"`
}

// Schedule is the learning rate over the run and the run's length.
type Schedule struct {
	// How the learning rate falls after the warm-up.
	Kind ScheduleKind `toml:"kind" one:"cosine,linear,constant" eg:"linear"`
	// Length of the run in steps. Give exactly one of steps, epochs and tokens.
	Steps int `toml:"steps" range:"0,1e15" eg:"200"`
	// Length of the run: every language is read so many times, with temperature small ones more often (see max_repeat).
	Epochs float64 `toml:"epochs" range:"0,1e15" eg:"2.0"`
	// Length of the run in tokens read, padding not counted.
	Tokens int `toml:"tokens" range:"0,1e15" eg:"1_000_000"`
	// Steps in which the learning rate rises; below 1 a share of the run.
	Warmup float64 `toml:"warmup" range:"0,1e9" eg:"0.03"`
	// Where the learning rate ends, after the last step, as a share of the highest.
	MinRatio float64 `toml:"min_ratio" range:"0,1" eg:"0.1"`
}

// Eval says when to measure every language.
type Eval struct {
	// Steps between evaluations; 0: only before the first and after the last step.
	Every int `toml:"every" range:"0,1e12" eg:"100"`
	// Most held-out examples of a language that are measured, a random sample, the same at every evaluation; 0: all.
	Rows int `toml:"rows" range:"0,1e12" eg:"500"`
	// The error that is asked for, bits per byte: of each language so many held-out examples are measured, at most rows, as its
	// figure takes to be within ± error (95 %) at the first evaluation; they stay for the run. 0: all are measured, or rows of them.
	Error float64 `toml:"error" range:"0,1e3" eg:"0.01"`
	// Draws the held-out examples where not all are measured. The run's seed does not: runs of all seeds measure the same ones.
	Seed uint64 `toml:"seed" eg:"2"`
	// Ends the run early after so many evaluations in a row without a lower mean bits per byte of the trained languages,
	// that before the first step included; 0: never. It counts the evaluations of every.
	Patience int `toml:"patience" range:"0,1e9" eg:"3"`
	// How many bits per byte lower the mean must be to count as lower, for patience.
	MinGain float64 `toml:"min_gain" range:"0,1e3" eg:"0.002"`
	// Held-out prompts of each language that the model answers at each evaluation, with the likeliest tokens: the answers are
	// in the report, and scored against the data's (exact match, chrF). 0: none.
	Samples int `toml:"samples" range:"0,1e6" eg:"20"`
	// Most tokens of such an answer; where the data's answer is longer it is shown and not scored.
	SampleTokens int `toml:"sample_tokens" range:"1,4096" eg:"64"`
	// Measure before the first step.
	First bool `toml:"first" eg:"true"`
	// Measure after the last step.
	Last bool `toml:"last" eg:"true"`
}

// Checkpoint says when to save and how many to keep.
type Checkpoint struct {
	// Steps between checkpoints; 0: only at the end and on Ctrl-C.
	Every int `toml:"every" range:"0,1e12" eg:"100"`
	// How many of the newest checkpoints are kept.
	Keep int `toml:"keep" range:"1,1e6" eg:"2"`
	// Keeps also the checkpoint with the lowest mean bits per byte of the trained languages.
	Best bool `toml:"best" eg:"true"`
}

// Log says how often a plain line is printed.
type Log struct {
	// Steps between plain lines when the output is not a terminal.
	Every int `toml:"every" range:"1,1e12" eg:"10"`
	// Steps between snapshots of the Grams in metrics.jsonl; 0: about 200 in a run.
	GramEvery int `toml:"gram_every" range:"0,1e12" eg:"0"`
}

// Device chooses the adapter.
type Device struct {
	// Index or part of the name of the adapter, see concord doctor; "" is the best.
	Adapter string `toml:"adapter" eg:"radeon"`
	// Graphics interface; "" is the best of the system.
	Backend Backend `toml:"backend" one:",vulkan,metal,dx12" eg:"vulkan"`
	// Most device memory; "" is most of the device's, see concord doctor.
	Memory Size `toml:"memory" eg:"6GB"`
	// Measure which matrix kernels are fastest here, once; false takes the usual ones.
	Autotune bool `toml:"autotune" eg:"true"`
	// Forces one variant of the matrix product; "" chooses by measurement.
	GEMM string `toml:"gemm" eg:""`
	// Where measurements of kernels are kept; "" is the user's cache folder.
	CacheDir string `toml:"cache_dir" eg:"~/.cache/concord"`
	// Longest wait for the device, in seconds; on a software rasterizer of processor time, at most ten times as long.
	ReadTimeout Seconds `toml:"read_timeout" range:"1,86400" eg:"120"`
}

// Memory trades time for device memory, with the same results.
type Memory struct {
	// Keeps of each layer only its input and computes the rest again in the backward pass: a third more time, the least activations.
	Checkpointing bool `toml:"checkpointing" eg:"true"`
	// "auto" chooses the settings that fit the step to the device, when the run starts: checkpointing, a shorter logits_chunk,
	// gram = "ghost", and
	// micro-batches of the same batch. Keys that the run file has stay. The choice is said, and a resume keeps it.
	Fit Fit `toml:"fit" one:"off,auto" eg:"auto"`
}

// Cluster is a run on many machines. It is one when Listen is given.
type Cluster struct {
	// UDP address of machine 1, which makes the run one on many machines; "": one machine.
	Listen string `toml:"listen" eg:":4433"`
	// Machines that the first step waits for, this one included.
	Workers int `toml:"workers" range:"1,4096" eg:"3"`
	// How gradients travel; "int8" with error feedback. "" is int8 with outer steps, else bf16.
	Wire Wire `toml:"wire" one:",bf16,f32,int8" eg:"f32"`
	// "local": each machine resolves its own languages and sends one gradient, an approximation for slow links.
	Resolve Resolve `toml:"resolve" one:"exact,local" eg:"exact"`
	// "gradients": everyone updates its weights; "parameters": owners do, and keep the optimizer's state (ZeRO-1).
	Sync Sync `toml:"sync" one:"gradients,parameters" eg:"parameters"`
	// Steps that machines make by themselves before the languages' changes are resolved (DiLoCo), for the internet; 0: none.
	Outer int `toml:"outer" range:"0,2000" eg:"50"`
	// Learning rate of the outer step, which has Nesterov momentum.
	OuterLR float64 `toml:"outer_lr" range:"1e-6,10" eg:"0.7"`
	// Momentum of the outer step.
	OuterMoment float64 `toml:"outer_momentum" range:"0,0.9999" eg:"0.5"`
	// Most of a resolve group that one machine owns, in bytes of a float32 gradient; "": by the model's size. Larger than all: none is split.
	Slice Size `toml:"slice" eg:"1MB"`
	// Rows of each machine: by measured "speed", or "equal", which with f32 and no deadline gives the same bits every time.
	Shares Shares `toml:"shares" one:"speed,equal" eg:"equal"`
	// Does without the rows of machines that are much later than the last steps let expect.
	Deadline bool `toml:"deadline" eg:"false"`
	// Steps between comparisons of all machines' weights; 0: never.
	CheckEvery int `toml:"check_every" range:"0,1e12" eg:"100"`
	// Seconds without a heartbeat after which a machine is out.
	Silence Seconds `toml:"silence" range:"1,3600" eg:"3.0"`
	// Most bytes a second that a machine sends, 64KB or more; "": no limit.
	UploadLimit Size `toml:"upload_limit" eg:"2MB"`
	// Two machines that cannot dial each other are connected over machine 1, encrypted between the two.
	Relay bool `toml:"relay" eg:"false"`
	// Links over the internet: more patience with outages.
	WAN bool `toml:"wan" eg:"true"`
	// Hours that the join line is valid.
	JoinHours Hours `toml:"join_hours" range:"0.01,8760" eg:"24.0"`
	// Machines that the join line admits; 0: any number.
	JoinUses int `toml:"join_uses" range:"0,4096" eg:"5"`
}

// Clustered says that the run is one on many machines.
func (c *Config) Clustered() bool { return c.Cluster.Listen != "" }

// Local says that machines resolve their languages by themselves.
func (c Cluster) Local() bool { return c.Resolve == ResolveLocal }

// Format is the wire format in use.
func (c Cluster) Format() Wire {
	switch {
	case c.Wire != "":
		return c.Wire
	case c.Outer > 0:
		return WireInt8
	}
	return WireBF16
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
func (c *Config) Sharded() bool { return c.Clustered() && c.Cluster.Sync == SyncParameters }

// Default is the configuration of an empty run file.
func Default() *Config {
	return &Config{
		Schema:  1,
		Run:     Run{Seed: 1, Dir: "runs"},
		Model:   Model{Init: InitPretrained},
		Adapter: Adapter{Rank: 16, Alpha: 32, Targets: Names{"all-linear"}},
		Data:    Data{Overlong: OverlongAuto, Temperature: 1, MaxRepeat: 10, Mixing: MixingStratified},
		Batch:   Batch{Rows: 8, SeqLen: 256, Accumulate: 1},
		Objective: Objective{Method: MethodMean, Scope: ScopeLayer, Normalise: NormaliseNone, Every: 1, Metric: MetricEuclidean, Gram: GramAuto,
			Noise: Noise{EMA: 0.9, Floor: 0.1}},
		Optim:      Optim{LR: 2e-5, Betas: []float64{0.9, 0.999}, Eps: 1e-8, Clip: 1},
		Schedule:   Schedule{Kind: Cosine, Warmup: 0.03},
		Eval:       Eval{First: true, Last: true, SampleTokens: 48, Seed: 1},
		Checkpoint: Checkpoint{Every: 100, Keep: 2, Best: true},
		Log:        Log{Every: 10},
		Memory:     Memory{Fit: FitOff},
		Device:     Device{Autotune: true, ReadTimeout: 120},
		Cluster: Cluster{Workers: 1, Resolve: ResolveExact, Sync: SyncGradients, OuterLR: 0.7, OuterMoment: 0.5, Shares: SharesSpeed,
			Deadline: true, Relay: true,
			CheckEvery: 100, Silence: 3, JoinHours: 24},
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
