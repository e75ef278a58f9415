// Package deps checks the import policy of the module.
package deps

import (
	"errors"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// allowed lists, for every package, the packages of this module it may import.
// It is a statement of policy: change it in a commit of its own, with a reason.
// Test files are not checked.
var allowed = map[string][]string{
	"shaders":                          {},
	"gpu":                              {},
	"moo":                              {},
	"moo/internal/jac":                 {},
	"moo/mootest":                      {"moo", "moo/internal/jac"},
	"tensor":                           {"gpu", "shaders"},
	"internal/param":                   {},
	"bucket":                           {"gpu", "tensor", "moo", "bucket/exchange", "internal/param"},
	"bucket/exchange":                  {}, // what bucket and internal/cluster agree on: neither imports the other
	"transport":                        {},
	"internal/cluster":                 {"transport", "internal/cluster/coordinator", "internal/cluster/protocol", "internal/cluster/store", "internal/cluster/worker"}, // no device, in none of these: they compile and are tested everywhere
	"internal/cluster/protocol":        {"transport"},                                                                                                                   // pure
	"internal/cluster/coordinator":     {"transport", "internal/cluster/protocol", "internal/cluster/store"},
	"internal/cluster/worker":          {"transport", "bucket/exchange", "internal/cluster/protocol"}, // neither a store nor a coordinator
	"internal/cluster/store":           {},
	"internal/cluster/store/storetest": {"internal/cluster/store"}, // only tests import it
	"internal/cluster/store/file":      {"internal/cluster/store"},
	"internal/cluster/etcd":            {"internal/cluster/store"},
	"internal/cluster/etcd/etcdtest":   {"internal/freeport"}, // only tests import it: it is the etcd server
	"internal/cluster/scale":           {"internal/cluster/protocol"},
	"internal/filelock":                {},
	"internal/faultproxy":              {}, // only tests import it
	"internal/freeport":                {}, // likewise
	"internal/simrouter":               {}, // likewise
	"internal/ref":                     {},
	"internal/optest":                  {},
	"internal/report":                  {},
	"internal/textscore":               {},
	"internal/neardup":                 {},
	"internal/lint":                    {"internal/data", "internal/neardup"},
	"internal/htmlreport":              {"moo", "internal/report", "internal/tensorboard", "internal/wandb"},
	"internal/tensorboard":             {}, // a file format
	"internal/wandb":                   {}, // likewise
	"internal/analyze":                 {},
	"internal/live":                    {"internal/report"},
	"internal/config":                  {},
	"internal/config/gen":              {"internal/config"}, // writes the reference of all keys
	"internal/safetensors":             {},
	"internal/checkpoint":              {},
	"internal/special":                 {},
	"internal/tokenizer":               {"internal/special"},
	"internal/chat":                    {"internal/jinja", "internal/special"},
	"internal/jinja":                   {},
	"internal/records":                 {},
	"internal/data":                    {"internal/tokenizer", "internal/chat", "internal/records"},
	"internal/corpus":                  {"internal/chat", "internal/data", "internal/fault", "internal/lint", "internal/model", "internal/modeldir", "internal/peft", "internal/report", "internal/tokenizer"}, // no device, no run file
	"internal/gguf/gguftest":           {},                                                                                                                                                                     // only tests import it
	"internal/gguf":                    {"internal/safetensors", "internal/tokenizer"},                                                                                                                         // a file format, with the tokenizer that stands in it; safetensors rounds halves
	"internal/model":                   {"gpu", "tensor", "internal/param", "internal/peft", "internal/safetensors", "internal/gguf"},
	"internal/peft":                    {"internal/safetensors"}, // a file format
	"internal/optim":                   {"gpu", "bucket", "tensor"},
	"internal/samebits":                {"internal/safetensors"}, // compares two binaries from outside
	"internal/doctor":                  {"gpu", "tensor", "internal/gguf", "internal/ref", "internal/optest"},
	"internal/stepcheck":               {"bucket", "gpu", "internal/data", "internal/device", "internal/doctor", "internal/exchange", "internal/model", "internal/objective", "internal/optest", "internal/optim", "internal/ref", "internal/step", "moo", "tensor"}, // a whole step against internal/ref
	"internal/fault":                   {"gpu"},
	"internal/objective":               {"bucket", "moo", "tensor", "internal/fault", "internal/report"},
	"internal/device":                  {"bucket", "gpu", "internal/fault", "internal/model", "internal/param", "tensor"},
	"internal/step":                    {"bucket", "gpu", "internal/data", "internal/device", "internal/fault", "internal/model", "internal/objective", "internal/optim", "internal/param", "internal/report", "internal/safetensors", "tensor"}, // names no exchange: see its test
	"internal/exchange":                {"bucket", "internal/checkpoint", "internal/cluster/protocol", "internal/cluster/worker", "internal/data", "internal/fault", "internal/objective", "internal/optim", "internal/report", "internal/safetensors", "internal/step", "transport"},
	"internal/rundir":                  {"internal/fault", "internal/filelock", "internal/model", "internal/peft", "internal/report"},
	"internal/modeldir":                {"internal/chat", "internal/fault", "internal/gguf", "internal/model", "internal/peft", "internal/safetensors", "internal/tokenizer"},
	"internal/export":                  {"internal/chat", "internal/device", "internal/fault", "internal/gguf", "internal/infer", "internal/model", "internal/modeldir", "internal/peft", "internal/safetensors", "internal/special", "internal/tokenizer"}, // knows no run
	"internal/infer":                   {"bucket", "internal/chat", "internal/data", "internal/device", "internal/fault", "internal/model", "internal/modeldir", "internal/rundir", "internal/tokenizer", "tensor"},                                         // no exchange, no cluster, no checkpoint
	"internal/train": {
		"bucket", "gpu", "internal/chat", "internal/checkpoint", "internal/cluster", "internal/cluster/coordinator", "internal/cluster/protocol", "internal/cluster/store", "internal/cluster/store/file", "internal/cluster/worker", "internal/config", "internal/corpus", "internal/data", "internal/device", "internal/exchange", "internal/fault", "internal/gguf",
		"internal/infer", "internal/model", "internal/modeldir", "internal/objective", "internal/optim", "internal/peft", "internal/report", "internal/rundir", "internal/safetensors", "internal/step", "internal/textscore", "internal/tokenizer", "moo", "tensor", "transport",
	},
	"internal/train/traintest": {"gpu", "internal/model", "internal/optest", "internal/param", "internal/peft", "internal/safetensors", "internal/tokenizer"}, // fixtures: only tests import it
	"internal/stats":           {"internal/report"},
	"internal/study":           {"internal/safetensors", "internal/train"}, // what comparisons and audits share
	"internal/compare":         {"internal/study", "moo", "internal/stats", "internal/rundir", "internal/train", "internal/report", "internal/fault", "internal/data", "internal/safetensors"},
	"internal/audit":           {"internal/study", "bucket", "moo", "internal/compare", "internal/fault", "internal/objective", "internal/stats", "internal/rundir", "internal/train", "internal/report", "internal/model", "internal/param", "internal/safetensors"},
	"internal/bench":           {"bucket", "gpu", "internal/fault", "internal/report", "internal/step", "internal/train", "moo", "tensor"},
	"cmd/concord":              {"gpu", "moo", "internal/device", "internal/fault", "internal/infer", "internal/rundir", "internal/train", "internal/report", "internal/config", "internal/corpus", "internal/data", "internal/doctor", "internal/export", "internal/gguf", "internal/bench", "internal/audit", "internal/compare", "internal/htmlreport", "internal/analyze", "internal/lint", "internal/live", "internal/metrics", "internal/safetensors", "internal/stepcheck", "internal/cluster", "internal/cluster/coordinator", "internal/cluster/store", "internal/cluster/etcd"},
	"internal/metrics":         {"internal/cluster/coordinator", "internal/report"},
	"cmd/prepare":              {"internal/tokenizer"},
}

// owners names the only packages that may import each third-party module. A module that
// is not named may be imported by none.
var owners = map[string][]string{
	"github.com/cogentcore/webgpu":     {"gpu"},
	"gonum.org/v1/plot":                {"internal/htmlreport"},
	"gonum.org/v1/gonum":               {"moo", "internal/htmlreport", "internal/analyze", "moo/internal/jac", "bucket", "internal/objective", "internal/bench", "internal/stats", "internal/report", "internal/stepcheck", "internal/textscore", "cmd/concord"}, // stats, report: quantiles of Student's t
	"github.com/BurntSushi/toml":       {"internal/config"},
	"github.com/dlclark/regexp2/v2":    {"internal/tokenizer"},
	"golang.org/x/text":                {"internal/tokenizer"},
	"github.com/parquet-go/parquet-go": {"internal/records"},
	"github.com/klauspost/compress":    {"internal/records"}, // zstd
	"github.com/alecthomas/kong":       {"cmd/concord"},
	"golang.org/x/term":                {"cmd/concord"},
	"github.com/quic-go/quic-go":       {"transport", "internal/simrouter"},
	"golang.org/x/time":                {"transport", "internal/cluster/coordinator"},
	"golang.org/x/sys":                 {"transport", "internal/cluster/store/file", "internal/filelock"}, // socket buffers; free disk space; file locks
	"go.etcd.io/bbolt":                 {"internal/cluster/store/file"},
	"go.etcd.io/etcd":                  {"internal/cluster/etcd", "internal/cluster/etcd/etcdtest"},
	"google.golang.org/grpc":           {"internal/cluster/etcd"},                                   // how it connects again
	"go.uber.org/zap":                  {"internal/cluster/etcd", "internal/cluster/etcd/etcdtest"}, // to silence etcd
}

// TestImportPolicy holds that every import is allowed, and that every permission is
// used: what the policy does not name is refused.
func TestImportPolicy(t *testing.T) {
	module := modulePath(t)
	imports := packageImports(t)
	usedRule, usedOwner := map[string]bool{}, map[string]bool{}
	for pkg, list := range imports {
		if _, ok := allowed[pkg]; !ok {
			t.Errorf("package %s has no entry in the import policy", pkg)
		}
		for _, imp := range list {
			if rel, ok := strings.CutPrefix(imp, module+"/"); ok {
				usedRule[pkg+" "+rel] = true
				if !slices.Contains(allowed[pkg], rel) {
					t.Errorf("%s may not import %s", pkg, rel)
				}
				continue
			}
			dep := thirdParty(imp)
			if dep == "" {
				continue
			}
			usedOwner[dep+" "+pkg] = true
			if !slices.Contains(owners[dep], pkg) {
				t.Errorf("%s may not import %s (allowed: %s)", pkg, imp, strings.Join(owners[dep], ", "))
			}
		}
	}
	for pkg, list := range allowed {
		if _, ok := imports[pkg]; !ok {
			t.Errorf("the policy names %s, which does not exist", pkg)
		}
		for _, rel := range list {
			if !usedRule[pkg+" "+rel] {
				t.Errorf("the policy lets %s import %s, and it does not: take the rule out", pkg, rel)
			}
		}
	}
	for dep, list := range owners {
		for _, pkg := range list {
			if !usedOwner[dep+" "+pkg] {
				t.Errorf("the policy lets %s import %s, and it does not: take the rule out", pkg, dep)
			}
		}
	}
}

// runFileReaders are the packages that know run files: internal/config itself, the one that
// makes options of settings, and the program.
var runFileReaders = []string{"internal/config/gen", "internal/train", "cmd/concord"}

// TestRunFiles holds that all other packages take options of their own.
func TestRunFiles(t *testing.T) {
	for pkg, list := range allowed {
		if slices.Contains(list, "internal/config") && !slices.Contains(runFileReaders, pkg) {
			t.Errorf("the policy lets %s know run files: give it options, and make them in internal/train", pkg)
		}
	}
}

// thirdParty is the module in owners that imp belongs to, imp itself for one that is
// not listed, "" for the standard library.
func thirdParty(imp string) string {
	for dep := range owners {
		if imp == dep || strings.HasPrefix(imp, dep+"/") {
			return dep
		}
	}
	if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") {
		return imp
	}
	return ""
}

// TestThirdParty holds that an unlisted module is seen as one.
func TestThirdParty(t *testing.T) {
	for imp, want := range map[string]string{
		"fmt": "", "net/http": "", "C": "",
		"example.org/new/module":       "example.org/new/module",
		"gonum.org/v1/gonum/mat":       "gonum.org/v1/gonum",
		"gonum.org/v1/gonumlike/thing": "gonum.org/v1/gonumlike/thing",
	} {
		if got := thirdParty(imp); got != want {
			t.Errorf("thirdParty(%q) = %q, not %q", imp, got, want)
		}
	}
}

// packageImports lists the imports of every package of the module, of files with any
// build tag, tests left out.
func packageImports(t *testing.T) map[string][]string {
	t.Helper()
	ctxt := build.Default
	ctxt.UseAllFiles, ctxt.CgoEnabled = true, true // neither a build tag nor cgo may hide an import
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == root {
			return err
		}
		if d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		p, err := ctxt.ImportDir(dir, 0) // in process, so the test cache sees the files
		if noGo := (*build.NoGoError)(nil); errors.As(err, &noGo) {
			return nil
		} else if err != nil {
			return err
		}
		if len(p.GoFiles)+len(p.CgoFiles) > 0 {
			out[strings.TrimPrefix(filepath.ToSlash(dir), root+"/")] = p.Imports
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func modulePath(t *testing.T) string {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(path)
		}
	}
	t.Fatal("go.mod has no module line")
	return ""
}

// TestWorkerWithoutEtcd holds that a machine that joins a run or leads one alone is free
// of etcd and grpc, in this module and in others: the engine of equal machines is chosen
// in cmd/concord. All but internal/train, which leads too, are free of stores.
func TestWorkerWithoutEtcd(t *testing.T) {
	for _, pkg := range []string{"./internal/cluster", "./internal/cluster/worker", "./internal/cluster/coordinator",
		"./internal/exchange", "./internal/train", "./transport"} {
		banned := []string{"go.etcd.io/etcd/", "google.golang.org/grpc", "go.uber.org/"}
		if pkg != "./internal/train" {
			banned = append(banned, "go.etcd.io/bbolt")
		}
		out, err := exec.Command("go", "-C", root, "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for dep := range strings.Lines(string(out)) {
			for _, not := range banned {
				if strings.HasPrefix(dep, not) {
					t.Errorf("%s imports %s", pkg, strings.TrimSpace(dep))
				}
			}
		}
	}
}

// TestServersStayInTests holds that the program contains no etcd server.
func TestServersStayInTests(t *testing.T) {
	out, err := exec.Command("go", "-C", root, "list", "-deps", "./cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "go.etcd.io/etcd/server") {
		t.Error("cmd imports an etcd server")
	}
}
