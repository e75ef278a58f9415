package config

import (
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

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
// files it names exist. Methods are checked where they live.
func (c *Config) validate() error {
	checks := []error{
		c.schema(),
		c.checkTags(),
		c.maxRepeat(),
		c.align(),
		c.inRange("data.max_len", float64(c.Data.MaxLen), 2, float64(c.Batch.SeqLen), "max_len = 0  # as long as batch.seq_len"),
		c.betas(),
		c.scope(),
		c.length(),
		c.patience(),
		c.objective(),
		c.lowMemory(),
		c.freeze(),
		c.adapter(),
		c.baseType(),
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

// align refuses the settings that aligned languages exclude.
func (c *Config) align() error {
	d := c.Data
	for i, s := range d.Source {
		switch key := fmt.Sprintf("data.source.%d.key", i); {
		case d.Align == AlignKey && s.Train && s.Key == "":
			return c.fail(key, `key = "id"  # the column that names each example`,
				"data.align = \"key\" needs the key of every language that is trained on")
		case d.Align == AlignLine && s.Key != "":
			return c.fail(key, "align = \"key\"  # in [data]; or remove the key", "data.align = \"line\" takes the lines as keys, not a column")
		}
	}
	switch {
	case d.Align == "":
	case d.Temperature != 1:
		return c.fail("data.temperature", "temperature = 1.0, or align = \"\"",
			"aligned languages are all read alike: a temperature has no part in it")
	case d.Mixing == MixingIID:
		return c.fail("data.mixing", "mixing = \"stratified\", or align = \"\"",
			"aligned languages are in every step together, and \"iid\" is the opposite")
	}
	return nil
}

// scope is checked where it is read, but for one that another machine has sent.
func (c *Config) scope() error {
	if c.Objective.Scope < ScopeGlobal || c.Objective.Scope == 0 {
		return c.fail("objective.scope", `scope = "layer"`, "none given")
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
	for key, zero := range map[string]bool{"schedule.steps": s.Steps == 0, "schedule.epochs": s.Epochs == 0,
		"schedule.tokens": s.Tokens == 0} {
		if _, given := c.origins[key]; given && zero && n == 0 {
			return c.fail(key, "steps = 200  # in [schedule]", "a run of length 0")
		}
	}
	if n != 1 {
		fix := "steps = 200  # in [schedule]"
		if n > 1 {
			fix = "keep one; on a command line another of the run file is put out with 0: -o schedule.epochs=0 -o schedule.steps=200"
		}
		return c.fail("schedule", fix, "give exactly one of steps, epochs, tokens (%d given)", n)
	}
	return nil
}

// patience refuses to wait for evaluations that there are not.
func (c *Config) patience() error {
	e := c.Eval
	switch {
	case e.Patience > 0 && e.Every == 0:
		return c.fail("eval.patience", "every = 50  # in [eval]", "counts evaluations on the way, and eval.every = 0 makes none")
	case e.MinGain > 0 && e.Patience == 0:
		return c.fail("eval.min_gain", "patience = 3", "says what counts for eval.patience, which is not set")
	}
	return nil
}

// leastUpload is the least limit in bytes a second: others wait 10 s for each 16 KiB of a transfer
// (transport.Options.Stall), and the transfers to all other machines share the limit.
const leastUpload = 64e3

// cluster checks the settings of a run on many machines.
func (c *Config) cluster() error {
	x := c.Cluster
	if !c.Clustered() {
		return nil
	}
	if _, _, err := net.SplitHostPort(x.Listen); err != nil {
		return c.fail("cluster.listen", `listen = ":4433"`, "%q is not an address: %v", x.Listen, err)
	}
	if err := c.outer(); err != nil {
		return err
	}
	if x.UploadLimit > 0 && x.UploadLimit < leastUpload {
		return c.fail("cluster.upload_limit", `upload_limit = "64KB"`,
			"less than 64 KB a second; transfers that slow are taken for dead (\"\" is no limit)")
	}
	if x.Slice > 0 && (c.Sharded() || x.Outer > 0) {
		return c.fail("cluster.slice", `slice = ""`,
			`groups are not cut with sync = "parameters", whose owners keep their moments, and with outer steps`)
	}
	if c.Sharded() && c.Objective.Metric == MetricAdam {
		return c.fail("cluster.sync", `sync = "gradients"`,
			`with sync = "parameters" a machine has the second moments of its own groups only, which metric = "adam" needs of all`)
	}
	return nil
}

// outer refuses the settings that outer steps exclude.
func (c *Config) outer() error {
	x, key, fix := c.Cluster, "", ""
	switch {
	case x.Outer == 0:
		return nil
	case x.Local():
		key, fix = "cluster.resolve", `resolve = "exact"`
	case x.Sync == SyncParameters:
		key, fix = "cluster.sync", `sync = "gradients"`
	case c.Objective.Metric == MetricAdam:
		key, fix = "objective.metric", `metric = "euclidean"`
	case c.Objective.Noise.Halves:
		key, fix = "objective.noise.halves", "halves = false"
	default:
		return nil
	}
	return c.fail(key, fix+", or cluster.outer = 0", "with cluster.outer = %d there are changes of %d steps to resolve, which "+
		"this cannot be done with", x.Outer, x.Outer)
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
			return c.fail(fmt.Sprintf("data.source.%d.lang", i), "give all sources of a language the same train = …",
				"%q is both trained on (or not) by source %d and not (or yes) by this one", s.Lang, j+1)
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
	for key, byLang := range map[string]map[string]float64{"objective.weights.": c.Objective.Weights,
		"objective.preferences.": c.Objective.Preferences} {
		for lang := range byLang {
			if i, ok := seen[lang]; !byColumn && (!ok || !c.Data.Source[i].Train) {
				return c.fail(key+lang, "name a trained language", "%q is not a trained language", lang)
			}
		}
	}
	return nil
}

// columns and roles are the names that package data gives to them.
var (
	columns = []string{"text", "prompt", "completion", "messages", "conversations", "instruction", "input", "output", "context",
		"response", "inputs", "targets", "system", "tools", "history"}
	roles = []string{"user", "assistant", "system", "developer", "tool"}
)

// names checks a source's names of columns and roles.
func (c *Config) names(i int, s Source) error {
	for _, k := range []struct {
		name  string
		names map[string]string
		known []string
		fix   string
	}{{"columns", s.Columns, columns, `columns = {prompt = "question", completion = "answer"}`},
		{"roles", s.Roles, roles, `roles = {assistant = "bot"}`}} {
		for ours, theirs := range k.names {
			switch {
			case !slices.Contains(k.known, ours):
				return c.fail(fmt.Sprintf("data.source.%d.%s", i, k.name), k.fix, "%q is none of %s: our name stands left, the file's right", ours,
					strings.Join(k.known, ", "))
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
		return c.fail(key("lang_column"), "remove one of the two lines",
			"give lang (one for all documents) or lang_column (each document's own), not both")
	case len(s.Langs) > 0 && s.LangColumn == "":
		return c.fail(key("langs"), `lang_column = "language"`, "says which languages of a column to read, and no column is named")
	case s.Train && len(s.Path) == 0:
		return c.fail(key("path"), `path = "data/`+s.Lang+`.jsonl"`, "no file given")
	case !s.Train && len(s.Heldout) == 0 && len(s.Path) == 0:
		return c.fail(key("heldout"), `heldout = "data/`+s.Lang+`.heldout.jsonl"`, "an evaluation-only source needs a file")
	case len(s.Heldout) > 0 && s.Holdout != 0:
		return c.fail(key("holdout"), "remove one of the two lines", "give heldout (a file) or holdout (how much of path), not both")
	case !(s.Holdout >= 0 && (s.Holdout < 1 || s.Holdout == math.Trunc(s.Holdout) && s.Holdout < 1e12)):
		return c.fail(key("holdout"), "holdout = 0.1  # a tenth; or 200, documents",
			"%v is neither a share below 1 nor a whole number of documents", s.Holdout)
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
