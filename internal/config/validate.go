package config

import (
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sizePattern is a byte size: "512MB", "6 GiB", "4e9".
var sizePattern = regexp.MustCompile(`(?i)^\s*([0-9.]+(?:e[0-9]+)?)\s*(b|kb|mb|gb|kib|mib|gib)?\s*$`)

// ParseSize reads "512MB", "6GiB" (kB, MB, GB and KiB, MiB, GiB all count by
// 1024, as GPU tools do) or plain bytes.
func ParseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as \"512MB\" or \"6GB\"", s)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	unit := map[string]float64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
	u := strings.ToLower(m[2])
	if len(u) > 1 {
		u = u[:1]
	}
	v *= unit[u]
	if err != nil || v < 1 || v > 1<<50 || m[2] == "" && v < 1<<20 { // "6" is not six bytes
		return 0, fmt.Errorf("%q is not a size such as \"512MB\" or \"6GB\"", s)
	}
	return int64(v), nil
}

// Where is where the key's value was written: "file:line", "-o key", or the file.
func (c *Config) Where(key string) string { return c.at(key) }

// at is where the key's value was written.
func (c *Config) at(key string) string {
	for k := key; k != ""; {
		if o, ok := c.origins[k]; ok {
			if o == "-o" {
				return "-o " + key
			}
			return o
		}
		i := strings.LastIndex(k, ".")
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return c.path
}

func (c *Config) fail(key, fix, format string, args ...any) error {
	return &Error{Where: c.at(key), Msg: key + ": " + fmt.Sprintf(format, args...), Fix: fix}
}

func (c *Config) oneOf(key, value string, valid ...string) error {
	if slices.Contains(valid, value) {
		return nil
	}
	quoted := make([]string, len(valid))
	known := map[string]bool{}
	for i, v := range valid {
		quoted[i] = strconv.Quote(v)
		known[v] = true
	}
	name := key[strings.LastIndex(key, ".")+1:]
	fix := name + " = " + quoted[0]
	for _, v := range valid {
		if v != "" && editDistance(v, value) <= 2 {
			fix = name + " = " + strconv.Quote(v)
		}
	}
	return c.fail(key, fix, "%q is not one of %s", value, strings.Join(quoted, ", "))
}

func (c *Config) inRange(key string, v, lo, hi float64, fix string) error {
	if v >= lo && v <= hi && !math.IsNaN(v) {
		return nil
	}
	return c.fail(key, fix, "%v is outside %v … %v", v, lo, hi)
}

// validate checks everything that needs no file but the run file, and that the
// files it names exist. Method names and scopes are checked where they live.
func (c *Config) validate() error {
	checks := []error{
		c.schema(),
		c.oneOf("model.save_dtype", c.Model.SaveDtype, "bf16", "f16", "f32", ""),
		c.oneOf("model.init", c.Model.Init, "pretrained", "random"),
		c.oneOf("data.overlong", c.Data.Overlong, "auto", "drop", "truncate", "split", "error"),
		c.oneOf("schedule.kind", c.Schedule.Kind, "cosine", "linear", "constant"),
		c.oneOf("device.backend", c.Device.Backend, "", "vulkan", "metal", "dx12"),
		c.inRange("data.temperature", c.Data.Temperature, 1e-3, 1e9, "temperature = 1.0"),
		c.inRange("batch.seq_len", float64(c.Batch.SeqLen), 2, 1<<20, "seq_len = 256"),
		c.maxRepeat(),
		c.inRange("data.max_len", float64(c.Data.MaxLen), 2, float64(c.Batch.SeqLen), "max_len = 0  # as long as batch.seq_len"),
		c.inRange("batch.rows", float64(c.Batch.Rows), 1, 1<<16, "rows = 8"),
		c.inRange("batch.accumulate", float64(c.Batch.Accumulate), 1, 1<<16, "accumulate = 1"),
		c.inRange("eval.rows", float64(c.Eval.Rows), 0, 1e12, "rows = 0"),
		c.inRange("batch.logits_chunk", float64(c.Batch.LogitsChunk), 0, 1<<20, "logits_chunk = 0"),
		c.inRange("optim.lr", c.Optim.LR, 0, 1e3, "lr = 2e-5"),
		c.inRange("optim.eps", c.Optim.Eps, 1e-30, 1, "eps = 1e-8"),
		c.inRange("optim.weight_decay", c.Optim.WeightDecay, 0, 100, "weight_decay = 0.0"),
		c.inRange("optim.clip", c.Optim.Clip, 0, 1e9, "clip = 1.0"),
		c.betas(),
		c.length(),
		c.inRange("schedule.warmup", c.Schedule.Warmup, 0, 1e9, "warmup = 0.03"),
		c.inRange("schedule.min_ratio", c.Schedule.MinRatio, 0, 1, "min_ratio = 0.1"),
		c.inRange("eval.every", float64(c.Eval.Every), 0, 1e12, "every = 100"),
		c.inRange("checkpoint.every", float64(c.Checkpoint.Every), 0, 1e12, "every = 100"),
		c.inRange("checkpoint.keep", float64(c.Checkpoint.Keep), 1, 1e6, "keep = 2"),
		c.inRange("log.every", float64(c.Log.Every), 1, 1e12, "every = 10"),
		c.inRange("objective.in_flight", float64(c.Objective.InFlight), 0, 64, "in_flight = 0"),
		c.objective(),
		c.inRange("probe.every", float64(c.Probe.Every), 0, 1e12, "every = 50"),
		c.inRange("log.gram_every", float64(c.Log.GramEvery), 0, 1e12, "gram_every = 0"),
		c.inRange("device.read_timeout", float64(c.Device.ReadTimeout), 1, 86400, "read_timeout = 120"),
		c.memory(),
		c.cluster(),
		c.paths(),
		c.modelPath(),
		c.sources(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) schema() error {
	if c.Schema != 1 {
		return c.fail("schema", "schema = 1", "this concord reads schema 1, not %d", c.Schema)
	}
	if c.Run.Name == "" || strings.ContainsAny(c.Run.Name, `/\:*?"<>|`) || strings.HasPrefix(c.Run.Name, ".") {
		return c.fail("run.name", `name = "my-run"`, "%q cannot name a folder", c.Run.Name)
	}
	return nil
}

func (c *Config) maxRepeat() error {
	if v := c.Data.MaxRepeat; v != 0 && !(v >= 1 && v <= 1e9) {
		return c.fail("data.max_repeat", "max_repeat = 10.0", "%v is neither 0 (no bound) nor 1 or more", v)
	}
	return nil
}

func (c *Config) betas() error {
	if len(c.Optim.Betas) != 2 {
		return c.fail("optim.betas", "betas = [0.9, 0.999]", "%d values, want 2", len(c.Optim.Betas))
	}
	for _, b := range c.Optim.Betas {
		if !(b >= 0 && b < 1) {
			return c.fail("optim.betas", "betas = [0.9, 0.999]", "%v is outside 0 ≤ β < 1", b)
		}
	}
	return nil
}

func (c *Config) length() error {
	s, n := c.Schedule, 0
	for _, given := range []bool{s.Steps != 0, s.Epochs != 0, s.Tokens != 0} {
		if given {
			n++
		}
	}
	for key, zero := range map[string]bool{"schedule.steps": s.Steps == 0, "schedule.epochs": s.Epochs == 0, "schedule.tokens": s.Tokens == 0} {
		if _, given := c.origins[key]; given && zero && n == 0 {
			return c.fail(key, "steps = 200  # in [schedule]", "a run of length 0")
		}
	}
	if n != 1 {
		return c.fail("schedule", "steps = 200  # in [schedule]", "give exactly one of steps, epochs, tokens (%d given)", n)
	}
	for key, v := range map[string]float64{"steps": float64(s.Steps), "epochs": s.Epochs, "tokens": float64(s.Tokens)} {
		if err := c.inRange("schedule."+key, v, 0, 1e15, "steps = 200"); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) memory() error {
	if c.Device.Memory == "" {
		return nil
	}
	if _, err := ParseSize(c.Device.Memory); err != nil {
		return c.fail("device.memory", `memory = "6GB"`, "%v", err)
	}
	return nil
}

// cluster checks the settings of a run on many machines.
func (c *Config) cluster() error {
	x := c.Cluster
	for _, err := range []error{
		c.oneOf("cluster.wire", x.Format(), "bf16", "f32", "int8"),
		c.inRange("cluster.outer", float64(x.Outer), 0, 2000, "outer = 50"),
		c.inRange("cluster.outer_lr", x.OuterLR, 1e-6, 10, "outer_lr = 0.7"),
		c.inRange("cluster.outer_momentum", x.OuterMoment, 0, 0.9999, "outer_momentum = 0.5"),
		c.oneOf("cluster.resolve", x.Resolve, "exact", "local"),
		c.oneOf("cluster.sync", x.Sync, "gradients", "parameters"),
		c.oneOf("cluster.shares", x.Shares, "speed", "equal"),
		c.inRange("cluster.workers", float64(x.Workers), 1, 4096, "workers = 1"),
		c.inRange("cluster.check_every", float64(x.CheckEvery), 0, 1e12, "check_every = 100"),
		c.inRange("cluster.silence", x.Silence, 1, 3600, "silence = 3.0"),
		c.inRange("cluster.join_hours", x.JoinHours, 0.01, 24*365, "join_hours = 24.0"),
		c.inRange("cluster.join_uses", float64(x.JoinUses), 0, 4096, "join_uses = 0"),
	} {
		if err != nil {
			return err
		}
	}
	if x.UploadLimit != "" {
		if _, err := ParseSize(x.UploadLimit); err != nil {
			return c.fail("cluster.upload_limit", `upload_limit = "2MB"  # a second`, "%v", err)
		}
	}
	if !c.Clustered() {
		return nil
	}
	if _, _, err := net.SplitHostPort(x.Listen); err != nil {
		return c.fail("cluster.listen", `listen = ":4433"`, "%q is not an address: %v", x.Listen, err)
	}
	if err := c.outer(); err != nil {
		return err
	}
	if c.Sharded() && c.Objective.Metric == "adam" {
		return c.fail("cluster.sync", `sync = "gradients"`, `with sync = "parameters" a machine has the second moments of its own units only, which metric = "adam" needs of all`)
	}
	return nil
}

// outer refuses what outer steps cannot be together with.
func (c *Config) outer() error {
	x, key, fix := c.Cluster, "", ""
	switch {
	case x.Outer == 0:
		return nil
	case x.Local():
		key, fix = "cluster.resolve", `resolve = "exact"`
	case x.Sync == "parameters":
		key, fix = "cluster.sync", `sync = "gradients"`
	case c.Objective.Metric == "adam":
		key, fix = "objective.metric", `metric = "euclidean"`
	case c.Objective.Noise.Halves:
		key, fix = "objective.noise.halves", "halves = false"
	default:
		return nil
	}
	return c.fail(key, fix+", or cluster.outer = 0", "with cluster.outer = %d there are changes of %d steps to resolve, which this cannot be done with", x.Outer, x.Outer)
}

func (c *Config) sources() error {
	if len(c.Data.Source) == 0 {
		return c.fail("data.source", "[[data.source]]\n       lang = \"sw\"\n       path = \"data/sw.jsonl\"", "no data given")
	}
	trained, byColumn := 0, false // byColumn: the languages are known when the data is read
	seen := map[string]int{}
	for i, s := range c.Data.Source {
		if err := c.source(i, s); err != nil {
			return err
		}
		if j, dup := seen[s.Lang]; dup && s.Lang != "" && c.Data.Source[j].Train != s.Train {
			return c.fail(fmt.Sprintf("data.source.%d.lang", i), "give all sources of a language the same train = …", "%q is both trained on (or not) by source %d and not (or yes) by this one", s.Lang, j+1)
		}
		seen[s.Lang] = i
		byColumn = byColumn || s.LangColumn != ""
		if s.Train {
			trained++
		}
	}
	if trained == 0 {
		return c.fail("data.source", "train = true", "no source is trained on")
	}
	for key, byLang := range map[string]map[string]float64{"objective.weights.": c.Objective.Weights, "objective.preferences.": c.Objective.Preferences} {
		for lang := range byLang {
			if i, ok := seen[lang]; !byColumn && (!ok || !c.Data.Source[i].Train) {
				return c.fail(key+lang, "name a trained language", "%q is not a trained language", lang)
			}
		}
	}
	return nil
}

// formats are those of package records; "" is by extension.
var formats = []string{"", "jsonl", "json", "csv", "tsv", "parquet", "text", "lines"}

// columns and roles are the names that package data gives to them.
var (
	columns = []string{"text", "prompt", "completion", "messages", "conversations", "instruction", "input", "output", "context", "response", "inputs", "targets", "system", "tools", "history"}
	roles   = []string{"user", "assistant", "system", "developer", "tool"}
)

// names checks what a source calls its columns and roles.
func (c *Config) names(i int, s Source) error {
	for _, k := range []struct {
		name  string
		names map[string]string
		known []string
		fix   string
	}{{"columns", s.Columns, columns, `columns = {prompt = "question", completion = "answer"}`}, {"roles", s.Roles, roles, `roles = {assistant = "bot"}`}} {
		for ours, theirs := range k.names {
			switch {
			case !slices.Contains(k.known, ours):
				return c.fail(fmt.Sprintf("data.source.%d.%s", i, k.name), k.fix, "%q is none of %s: our name stands left, the file's right", ours, strings.Join(k.known, ", "))
			case theirs == "":
				return c.fail(fmt.Sprintf("data.source.%d.%s", i, k.name), k.fix, "no name of the file's for %q", ours)
			}
		}
	}
	return nil
}

func (c *Config) source(i int, s Source) error {
	key := func(k string) string { return fmt.Sprintf("data.source.%d.%s", i, k) }
	switch {
	case s.Lang == "" && s.LangColumn == "":
		return c.fail(key("lang"), `lang = "sw", or lang_column = "language" where a column names it`, "no language given")
	case s.Lang != "" && s.LangColumn != "":
		return c.fail(key("lang_column"), "remove one of the two lines", "give lang (one for all documents) or lang_column (each document's own), not both")
	case len(s.Langs) > 0 && s.LangColumn == "":
		return c.fail(key("langs"), `lang_column = "language"`, "says which languages of a column to read, and no column is named")
	case s.Train && len(s.Path) == 0:
		return c.fail(key("path"), `path = "data/`+s.Lang+`.jsonl"`, "no file given")
	case !s.Train && len(s.Heldout) == 0 && len(s.Path) == 0:
		return c.fail(key("heldout"), `heldout = "data/`+s.Lang+`.heldout.jsonl"`, "an evaluation-only source needs a file")
	case len(s.Heldout) > 0 && s.Holdout != 0:
		return c.fail(key("holdout"), "remove one of the two lines", "give heldout (a file) or holdout (how much of path), not both")
	case !(s.Holdout >= 0 && (s.Holdout < 1 || s.Holdout == math.Trunc(s.Holdout) && s.Holdout < 1e12)):
		return c.fail(key("holdout"), "holdout = 0.1  # a tenth; or 200, documents", "%v is neither a share below 1 nor a whole number of documents", s.Holdout)
	}
	if err := c.oneOf(key("format"), s.Format, formats...); err != nil {
		return err
	}
	if err := c.oneOf(key("train_on"), s.TrainOn, "", "completion", "all"); err != nil {
		return err
	}
	for _, f := range []struct {
		key   string
		paths Paths
	}{{"path", s.Path}, {"heldout", s.Heldout}} {
		for _, path := range f.paths {
			if st, err := os.Stat(c.Resolve(path)); err != nil || st.IsDir() {
				return c.fail(key(f.key), f.key+" = a file, relative to the run file", "%s is not a file%s", c.Resolve(path), pathHint(path))
			}
		}
	}
	return c.names(i, s)
}
