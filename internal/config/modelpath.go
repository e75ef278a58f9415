package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// weightFiles are the names that a Hugging Face folder's weights begin from.
var weightFiles = []string{"model.safetensors", "model.safetensors.index.json"}

// modelPath checks that model.path is a GGUF file, or a Hugging Face folder with
// configuration, tokenizer and (unless the weights are random, or those of a run that
// goes on) safetensors weights. Another kind of file or folder there is named, with the
// line that helps.
func (c *Config) modelPath() error {
	if c.Model.Path == "" {
		return c.fail("model.path", `path = "../base"  # in [model]`, "no base model given")
	}
	dir := c.Resolve(c.Model.Path)
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		msg, fix := missingModel(c.Model.Path, dir)
		return c.fail("model.path", fix, "%s", msg)
	case !st.IsDir() && isGGUF(dir):
		return nil
	case !st.IsDir():
		msg, fix := modelFile(dir)
		return c.fail("model.path", fix, "%s", msg)
	}
	if msg, fix := modelFolder(dir, c.Model.Init != "random" && !c.restored); msg != "" {
		return c.fail("model.path", fix, "%s", msg)
	}
	return nil
}

// hubID is the form of a model's name on the Hugging Face hub.
var hubID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// missingModel explains a path where nothing is.
func missingModel(given, dir string) (msg, fix string) {
	if !hubID.MatchString(given) || isOwnFolder(given, dir) {
		return dir + " is not a folder (paths are relative to the run file)" + pathHint(given),
			"path = the folder with config.json, model.safetensors and tokenizer.json, or a GGUF file"
	}
	if cached := inHubCache(given); cached != "" {
		return fmt.Sprintf("%s is not a folder; %q is a name on the Hugging Face hub, and its files are in this machine's cache", dir, given),
			fmt.Sprintf("path = %q", filepath.ToSlash(cached))
	}
	name := given[strings.Index(given, "/")+1:]
	return fmt.Sprintf("%s is not a folder; %q looks like a name on the Hugging Face hub, and nothing is downloaded from there", dir, given),
		fmt.Sprintf("hf download %s --local-dir models/%s, then path = \"models/%s\"", given, name, name)
}

// isOwnFolder says that owner/name is a place among the user's own folders: owner is one,
// or is the one that our pages name.
func isOwnFolder(given, dir string) bool {
	_, err := os.Stat(filepath.Dir(dir))
	return err == nil || strings.HasPrefix(given, "models/")
}

// inHubCache is the folder of a hub model's files in the hub's own cache, "" if it
// is not there.
func inHubCache(id string) string {
	var roots []string
	for _, env := range []struct{ name, below string }{{"HF_HUB_CACHE", ""}, {"HUGGINGFACE_HUB_CACHE", ""}, {"HF_HOME", "hub"}} {
		if v := os.Getenv(env.name); v != "" {
			roots = append(roots, filepath.Join(v, env.below))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".cache", "huggingface", "hub"))
	}
	for _, root := range roots {
		found := glob(filepath.Join(root, "models--"+strings.ReplaceAll(id, "/", "--"), "snapshots"), "*", "config.json")
		if len(found) > 0 {
			return filepath.Dir(found[len(found)-1])
		}
	}
	return ""
}

// modelFile explains a path to a file.
func modelFile(path string) (msg, fix string) {
	switch head := headOf(path); {
	case isLFSPointer(head):
		return path + lfsPointer, lfsFix(filepath.Dir(path))
	case bytes.HasPrefix(head, []byte("GGUF")):
		return path + " is a GGUF file whose name does not end in .gguf",
			fmt.Sprintf("ln -s %s model.gguf; then path = \"model.gguf\"", path)
	case strings.HasSuffix(path, ".safetensors"):
		return path + " is the file of weights: give the folder that it lies in, with config.json and tokenizer.json beside it",
			fmt.Sprintf("path = %q", filepath.ToSlash(filepath.Dir(path)))
	case slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt"}, filepath.Ext(path)):
		return path + " is a PyTorch pickle, which can run code when it is opened and is not read", pickleFix(filepath.Dir(path))
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return path + " is an archive", "unpack it, then path = the folder with config.json"
	}
	return path + " is a file, not a folder", fmt.Sprintf("path = %q", filepath.ToSlash(filepath.Dir(path)))
}

// isGGUF reports whether the file at path is one of llama.cpp, by name and beginning.
func isGGUF(path string) bool {
	return strings.EqualFold(filepath.Ext(path), ".gguf") && bytes.HasPrefix(headOf(path), []byte("GGUF"))
}

// modelFolder explains a folder that is no complete model; msg is "" for one that is.
func modelFolder(dir string, needsWeights bool) (msg, fix string) {
	has := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	if !has("config.json") {
		return noConfig(dir, has)
	}
	if needsWeights && !slices.ContainsFunc(weightFiles, has) {
		return noWeights(dir, has)
	}
	if !has("tokenizer.json") {
		return noTokenizer(dir, has)
	}
	check := []string{filepath.Join(dir, "config.json"), filepath.Join(dir, "tokenizer.json")}
	if needsWeights {
		check = append(check, glob(dir, "*.safetensors")...)
	}
	for _, path := range check {
		if isLFSPointer(headOf(path)) {
			return path + lfsPointer, lfsFix(dir)
		}
	}
	return "", ""
}

// noConfig explains a folder without config.json.
func noConfig(dir string, has func(string) bool) (msg, fix string) {
	below := glob(dir, "snapshots", "*", "config.json")
	below = append(below, glob(dir, "*", "config.json")...)
	switch {
	case has("adapter_config.json"):
		return dir + " is a PEFT adapter, not a whole model" + adapterBase(dir) + ": give its base model here",
			fmt.Sprintf(`path = the base model's folder; to train the adapter on: from = %q in [adapter]`, filepath.ToSlash(dir))
	case has("adapters.safetensors"):
		return dir + " is an adapter of mlx-lm, not a whole model", "mlx_lm.fuse --model BASE --adapter-path " + dir +
			` --save-path merged; then path = "merged"`
	case has("run.lock.json"):
		return dir + " is the folder of a run: its tuned model lies in it", fmt.Sprintf("path = %q",
			filepath.ToSlash(filepath.Join(dir, "model")))
	case len(below) > 0:
		return dir + " has no config.json; a folder in it has", fmt.Sprintf("path = %q", filepath.ToSlash(filepath.Dir(below[0])))
	case len(glob(dir, "*.gguf")) > 0:
		file := glob(dir, "*.gguf")[0]
		return fmt.Sprintf("%s has no config.json, only a GGUF file (%s)", dir, filepath.Base(file)), fmt.Sprintf("path = %q",
			filepath.ToSlash(file))
	case len(glob(dir, "consolidated*")) > 0:
		return dir + " has no config.json: it is a model in its maker's own form (consolidated…), not the Hugging Face form",
			"download the version with config.json and model.safetensors"
	}
	return dir + " has no config.json: it is no Hugging Face model", "path = the folder with config.json, model.safetensors and tokenizer.json"
}

// adapterBase is the base model that an adapter's configuration names.
func adapterBase(dir string) string {
	var a struct {
		Base string `json:"base_model_name_or_path"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil || json.Unmarshal(b, &a) != nil || a.Base == "" {
		return ""
	}
	return fmt.Sprintf(" (of %q)", a.Base)
}

// noWeights explains a folder without safetensors.
func noWeights(dir string, has func(string) bool) (msg, fix string) {
	partial := append(glob(dir, "*.incomplete"), glob(dir, "*.part")...)
	other := glob(dir, "*.safetensors")
	switch {
	case len(partial) > 0:
		return fmt.Sprintf("%s is downloaded in part (%s)", dir, filepath.Base(partial[0])), "finish the download"
	case has("pytorch_model.bin") || has("pytorch_model.bin.index.json"):
		return dir + " has its weights as PyTorch pickles only (pytorch_model.bin), which can run code when they are opened and are not read",
			pickleFix(dir)
	case len(other) > 0:
		return fmt.Sprintf("%s has neither %s, but %s", dir, strings.Join(weightFiles, " nor "), filepath.Base(other[0])),
			"rename a single file to model.safetensors; of several, the index is missing: download it too"
	case has("tf_model.h5") || has("flax_model.msgpack"):
		return dir + " has weights for TensorFlow or JAX only", "download model.safetensors too"
	}
	return fmt.Sprintf("%s has no weights (%s)", dir, strings.Join(weightFiles, " or ")),
		`download them too; or init = "random"  # in [model], to train from nothing`
}

// pickleFix is the command that turns a folder's pickles into safetensors.
func pickleFix(dir string) string {
	return fmt.Sprintf(`python -c "from transformers import AutoModelForCausalLM as M; `+
		`M.from_pretrained('%s').save_pretrained('%s', safe_serialization=True)"`, dir, dir)
}

// noTokenizer explains a folder without tokenizer.json.
func noTokenizer(dir string, has func(string) bool) (msg, fix string) {
	convert := fmt.Sprintf(`python -c "from transformers import AutoTokenizer as T; T.from_pretrained('%s').save_pretrained('%s')"`, dir, dir)
	switch {
	case has("tokenizer.model"):
		return dir + " has no tokenizer.json, only SentencePiece's tokenizer.model", convert
	case has("vocab.json") && has("merges.txt"):
		return dir + " has no tokenizer.json, only its older form (vocab.json and merges.txt)", convert
	}
	return dir + " has no tokenizer.json", "download it too; it lies beside config.json"
}

const lfsPointer = " is a git-lfs pointer of some 130 bytes, not the file: the repository was cloned without git-lfs"

func lfsFix(dir string) string { return "git lfs install; git -C " + dir + " lfs pull" }

// isLFSPointer reports whether a file that begins so is a pointer of git-lfs.
func isLFSPointer(head []byte) bool {
	return bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/"))
}

// headOf is the file's first bytes, none if it cannot be read.
func headOf(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // fewer are fine
	return head[:n]
}

// glob lists the files of dir that match; dir itself is taken as it stands.
func glob(dir string, pattern ...string) []string {
	found, _ := filepath.Glob(filepath.Join(append([]string{escapeGlob(dir)}, pattern...)...)) // the pattern is fixed
	return found
}

// escapeGlob makes the special characters of a path plain.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' { // no escapes there
		return path
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
