package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// asProgram makes the test binary behave as the program: the tests start it as
// a child to see what a user sees, exit codes and signals included.
const asProgram = "CONCORD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is a child that runs concord with args.
func program(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// concord runs the program to its end.
func concord(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := program(t, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	return exitOf(t, c.Run()), out.String(), errs.String()
}

// exitOf is the exit code behind a child's error.
func exitOf(t testing.TB, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// file writes a file of the fixture and returns its path.
func file(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	traintest.WriteFile(t, path, text)
	return path
}

// Every verb with good and bad input: the documented exit codes, and what the
// user reads.
func TestExitCodes(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 2", "eval": "every = 0\nfirst = false\nlast = false"})
	dir := filepath.Dir(runFile)
	base := filepath.Join(dir, "base")
	whole, err := os.ReadFile(runFile)
	if err != nil {
		t.Fatal(err)
	}
	typo := file(t, dir, "typo.toml", strings.Replace(string(whole), "seed = 3", "sede = 3", 1))
	latin := file(t, dir, "latin.toml", strings.ReplaceAll(string(whole), "aa.heldout", "latin"))
	file(t, dir, "latin.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"caf\xe9\"}\n")
	wild := file(t, dir, "wild.toml", strings.ReplaceAll(string(whole), `path = "base"`, `path = "wild"`))
	traintest.Base(t, filepath.Join(dir, "wild"), func(_ string, v []float32) {
		for i := range v {
			v[i] *= 1e25
		}
	})
	ids := file(t, dir, "ids.json", "[[1, 2, 3], [4, 5]]")
	for _, c := range []struct {
		name  string
		code  int
		args  []string
		stdin string
		says  string // on standard output where the code is 0, else on standard error
	}{
		{"no verb", 2, nil, "", "concord --help"},
		{"unknown verb", 2, []string{"trian"}, "", "trian"},
		{"unknown flag", 2, []string{"version", "--frobnicate"}, "", "--frobnicate\n  see: concord version --help"},
		{"version", 0, []string{"version"}, "", "concord "},
		{"version as a flag", 0, []string{"--version"}, "", "concord "},

		{"train without a file", 2, []string{"train"}, "", "run-file"},
		{"train a missing file", 2, []string{"train", filepath.Join(dir, "none.toml")}, "", "none.toml: cannot read the run file"},
		{"train on what is no run file", 2, []string{"train", ids}, "", "fix: is this a run file?"},
		{"train with a typo", 2, []string{"train", typo}, "", typo + ":4: unknown key \"run.sede\""},
		{"train with a wrong override", 2, []string{"train", runFile, "-o", "optim.lr=fast"}, "", "-o optim.lr=fast"},
		{"train on a wrong encoding", 3, []string{"train", latin}, "", "latin.jsonl:2"},
		{"eval with no such kernel", 2, []string{"eval", runFile, "-o", "device.gemm=none-such"}, "", "-o device.gemm"},
		{"train with too little memory", 4, []string{"train", runFile, "-o", "device.memory=64KB"}, "", "raise [device] memory"},
		{"train on no adapter", 4, []string{"train", runFile, "-o", "device.adapter=nothing such"}, "", "no adapter matches"},
		{"train a diverging model", 5, []string{"train", wild, "-o", "optim.weight_decay=100", "-o", "optim.lr=1e3", "-o", "schedule.steps=30", "-o", "run.name=wild"}, "", "fix: a lower optim.lr"},
		{"train", 0, []string{"train", runFile}, "", "model in "},

		{"resume nothing", 2, []string{"resume", filepath.Join(dir, "base")}, "", "is not the folder of a run"},
		{"resume a file", 2, []string{"resume", runFile}, "", "is not the folder of a run"},
		{"resume with another method", 2, []string{"resume", filepath.Join(dir, "runs", "tiny"), "-o", "objective.method=mean"}, "", "cannot change in the middle of a run"},
		{"resume a finished run", 0, []string{"resume", filepath.Join(dir, "runs", "tiny")}, "", "is finished"},

		{"eval", 0, []string{"eval", runFile, "--compare", filepath.Join(dir, "runs", "tiny")}, "", "unseen"},
		{"eval no model", 3, []string{"eval", runFile, "--model", filepath.Join(dir, "none")}, "", "none"},
		{"eval with a typo", 2, []string{"eval", typo}, "", typo + ":4"},

		{"score", 0, []string{"score", "--model", base, "--ids", ids}, "", `{"nll":[[`},
		{"score from standard input", 0, []string{"score", "--model", base, "--ids", "-"}, "[1, 2]", `{"nll":[`},
		{"score an object", 0, []string{"score", "--model", base, "--ids", "-"}, `{"ids": [1, 2]}`, `{"nll":[`},
		{"score no ids", 2, []string{"score", "--model", base}, "", "--ids"},
		{"score a missing file", 3, []string{"score", "--model", base, "--ids", filepath.Join(dir, "none.json")}, "", "fix: a JSON file"},
		{"score what is no JSON", 3, []string{"score", "--model", base, "--ids", "-"}, "[1, 2", "not JSON"},
		{"score what is no list", 3, []string{"score", "--model", base, "--ids", "-"}, `{"a": 1}`, "list of token ids"},
		{"score a wrong id", 3, []string{"score", "--model", base, "--ids", "-"}, "[1, 999]", "999"},
		{"score with a wrong size", 2, []string{"score", "--model", base, "--ids", ids, "--memory", "much"}, "", "--memory"},

		{"generate from a flag", 0, []string{"generate", "--model", base, "--max-tokens", "3", "--prompt", "Aa:"}, "", "Aa:"},
		{"generate from both", 2, []string{"generate", "--model", base, "--prompt", "Aa:", "Aa:"}, "", "not both"},
		{"generate", 0, []string{"generate", "--model", base, "--max-tokens", "3", "Aa:"}, "", "Aa:"},
		{"generate from standard input", 0, []string{"generate", "--model", base, "--max-tokens", "3", "-"}, "Bb:", "Bb:"},
		{"generate too hot", 2, []string{"generate", "--model", base, "--temperature=-1", "Aa:"}, "", "--temperature"},
		{"generate no model", 3, []string{"generate", "--model", filepath.Join(dir, "none"), "Aa:"}, "", "none is no model: "},
		{"export what is no model", 3, []string{"export", runFile}, "", "is no model: "},
		{"verify a run without an adapter", 3, []string{"verify", filepath.Join(dir, "runs", "tiny")}, "", "tiny has no adapter"},
		{"generate on no adapter", 4, []string{"generate", "--model", base, "--adapter", "nothing such", "Aa:"}, "", "no adapter matches"},

		{"config check", 0, []string{"config", "check", runFile}, "", "is fine: 3 languages to train"},
		{"config check of a typo", 2, []string{"config", "check", typo}, "", `seed`},
		{"config check of the data", 3, []string{"config", "check", latin}, "", "latin.jsonl:2"},
		{"config show", 0, []string{"config", "show", runFile, "-o", "optim.lr=0.5"}, "", "# -o"},

		{"doctor", 0, []string{"doctor", "--list"}, "", "adapter"},
		{"doctor on no adapter", 4, []string{"doctor", "--adapter", "nothing such"}, "", "no adapter matches"},

		{"moo solve", 0, []string{"moo", "solve", "--method", "mean"}, `{"J": [[1, 0], [0, 1]]}`, `"weights":[0.5,0.5]`},
		{"moo solve by no method", 2, []string{"moo", "solve", "--method", "pcgrd"}, `{"J": [[1]]}`, "pcgrad"},
		{"moo methods", 0, []string{"moo", "methods"}, "", "cagrad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := concord(t, c.stdin, c.args...)
			if code != c.code {
				t.Fatalf("exit code %d, want %d\n%s\n%s", code, c.code, out, errs)
			}
			text := errs
			if code == 0 {
				text = out
			}
			if !strings.Contains(text, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, text)
			}
			if code != 0 && (!strings.HasPrefix(lastMessage(errs), "concord: ") || strings.Contains(errs, "goroutine ")) {
				t.Errorf("not an error message:\n%s", errs)
			}
		})
	}
}

// lastMessage is the text from the last line that begins with the program's name.
func lastMessage(s string) string {
	i := strings.LastIndex("\n"+s, "\nconcord: ")
	return s[max(i, 0):]
}

func TestHelp(t *testing.T) {
	verbs := [][]string{nil, {"train"}, {"resume"}, {"eval"}, {"score"}, {"generate"}, {"doctor"}, {"moo"}, {"moo", "solve"},
		{"config"}, {"config", "check"}, {"config", "show"}, {"bench"}, {"bench", "step"}, {"version"}}
	for _, verb := range verbs {
		code, out, errs := concord(t, "", append(slices.Clone(verb), "--help")...)
		if code != 0 || !strings.Contains(out, "Usage: concord") || errs != "" {
			t.Errorf("%v --help: exit code %d\n%s\n%s", verb, code, out, errs)
		}
	}
}

// --json prints one JSON value and nothing else on standard output.
func TestJSON(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 2"})
	base := filepath.Join(filepath.Dir(runFile), "base")
	dir := filepath.Join(filepath.Dir(runFile), "runs", "tiny")
	for _, c := range []struct {
		args  []string
		stdin string
		keys  []string
	}{
		{[]string{"train", runFile, "--json"}, "", []string{"dir", "model", "before", "after", "end"}},
		{[]string{"resume", dir, "--json"}, "", []string{"dir", "model", "before", "after", "end"}},
		{[]string{"eval", runFile, "--json"}, "", []string{"rows", "seconds"}},
		{[]string{"eval", runFile, "--compare", dir, "--json"}, "", []string{"model", "compare"}},
		{[]string{"score", "--model", base, "--ids", "-", "--json"}, "[1, 2, 3]", []string{"nll"}},
		{[]string{"generate", "--model", base, "--max-tokens", "2", "--json", "Aa:"}, "", []string{"text", "ids", "prompt_ids", "stopped"}},
		{[]string{"config", "check", runFile, "--json"}, "", []string{"languages_trained", "steps", "data"}},
		{[]string{"config", "show", runFile, "--json"}, "", nil},
		{[]string{"doctor", "--list", "--json"}, "", []string{"adapters", "ok"}},
		{[]string{"moo", "solve", "--method", "mgda"}, `{"J": [[1, 0], [0, 1]]}`, []string{"weights", "vector", "diagnostics"}},
		{[]string{"moo", "methods", "--json"}, "", nil},
		{[]string{"version", "--json"}, "", []string{"version", "go", "os", "arch"}},
		{[]string{"bench", "step", "--methods", "mean,pcgrad", "--steps", "2", "--warmup", "1", "--json", runFile}, "", []string{"methods"}},
	} {
		code, out, errs := concord(t, c.stdin, c.args...)
		var value any
		if err := json.Unmarshal([]byte(out), &value); code != 0 || err != nil {
			t.Errorf("%v: exit code %d, %v\n%s\n%s", c.args, code, err, out, errs)
			continue
		}
		object, _ := value.(map[string]any)
		for _, k := range c.keys {
			if _, ok := object[k]; !ok {
				t.Errorf("%v lacks %q: %s", c.args, k, out)
			}
		}
	}
}
