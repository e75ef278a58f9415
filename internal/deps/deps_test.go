// Package deps checks the import policy of the module.
package deps

import (
	"errors"
	"go/build"
	"io/fs"
	"os"
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
	"shaders":                {},
	"gpu":                    {},
	"moo":                    {},
	"moo/internal/jac":       {},
	"moo/mootest":            {"moo", "moo/internal/jac"},
	"tensor":                 {"gpu", "shaders"},
	"bucket":                 {"gpu", "tensor", "moo", "bucket/exchange"},
	"bucket/exchange":        {}, // what bucket and internal/cluster agree on: neither imports the other
	"transport":              {},
	"internal/cluster":       {"transport", "bucket/exchange", "internal/cluster/store"}, // no device: it compiles and is tested everywhere
	"internal/cluster/store": {},
	"internal/cluster/scale": {"internal/cluster"},
	"internal/faultproxy":    {}, // only tests import it
	"internal/simrouter":     {}, // likewise
	"internal/ref":           {},
	"internal/optest":        {},
	"internal/report":        {},
	"internal/htmlreport":    {"moo", "internal/report"},
	"internal/analyze":       {},
	"internal/live":          {"internal/report"},
	"internal/config":        {},
	"internal/safetensors":   {},
	"internal/checkpoint":    {},
	"internal/tokenizer":     {},
	"internal/data":          {"internal/tokenizer"},
	"internal/model":         {"gpu", "tensor", "internal/safetensors"},
	"internal/optim":         {"gpu", "bucket", "tensor"},
	"internal/samebits":      {"internal/safetensors"}, // compares two binaries from outside
	"internal/doctor":        {"gpu", "shaders", "tensor", "internal/ref", "internal/optest"},
	"internal/train": {
		"gpu", "tensor", "bucket", "moo", "internal/model", "internal/data", "internal/tokenizer", "internal/config",
		"internal/optim", "internal/checkpoint", "internal/safetensors", "internal/report", "internal/cluster", "transport",
	},
	"internal/train/traintest": {"gpu", "internal/model", "internal/safetensors", "internal/tokenizer"}, // fixtures: only tests import it
	"internal/compare":         {"moo", "internal/train", "internal/report", "internal/config", "internal/data", "internal/safetensors"},
	"internal/bench":           {"gpu", "tensor", "bucket", "moo", "internal/train", "internal/config"},
	"cmd/concord":              {"gpu", "tensor", "moo", "internal/train", "internal/report", "internal/config", "internal/doctor", "internal/bench", "internal/compare", "internal/htmlreport", "internal/analyze", "internal/live", "internal/safetensors", "internal/cluster"},
	"cmd/prepare":              {"internal/tokenizer"},
}

// owners names the only packages that may import each third-party module.
var owners = map[string][]string{
	"github.com/cogentcore/webgpu":  {"gpu"},
	"gonum.org/v1/plot":             {"internal/htmlreport"},
	"gonum.org/v1/gonum":            {"moo", "internal/htmlreport", "internal/analyze", "moo/internal/jac", "bucket", "internal/train", "internal/optest", "internal/compare", "cmd/concord"}, // compare: quantiles of Student's t
	"github.com/BurntSushi/toml":    {"internal/config"},
	"github.com/dlclark/regexp2/v2": {"internal/tokenizer"},
	"golang.org/x/text":             {"internal/tokenizer"},
	"github.com/alecthomas/kong":    {"cmd/concord"},
	"golang.org/x/term":             {"cmd/concord"},
	"github.com/quic-go/quic-go":    {"transport", "internal/simrouter"},
	"golang.org/x/time":             {"transport"},
	"golang.org/x/sys":              {"transport", "internal/cluster/store"}, // socket buffers; free disk space
	"go.etcd.io/etcd":               {"internal/cluster/store"},
	"go.uber.org/zap":               {"internal/cluster/store"}, // to silence etcd
}

func TestImportPolicy(t *testing.T) {
	module := modulePath(t)
	ctxt := build.Default
	ctxt.UseAllFiles, ctxt.CgoEnabled = true, true // neither a build tag nor cgo may hide an import
	used := map[string]bool{}
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
		pkg := strings.TrimPrefix(filepath.ToSlash(dir), root+"/")
		if len(p.GoFiles)+len(p.CgoFiles) == 0 {
			return nil // tests only
		}
		want, ok := allowed[pkg]
		if !ok {
			t.Errorf("package %s has no entry in the import policy", pkg)
		}
		used[pkg] = true
		for _, imp := range p.Imports {
			if rel, ok := strings.CutPrefix(imp, module+"/"); ok && !slices.Contains(want, rel) {
				t.Errorf("%s may not import %s", pkg, rel)
			}
			for dep, pkgs := range owners {
				if (imp == dep || strings.HasPrefix(imp, dep+"/")) && !slices.Contains(pkgs, pkg) {
					t.Errorf("%s may not import %s (only %s may)", pkg, imp, strings.Join(pkgs, ", "))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if !used[pkg] {
			t.Errorf("the policy names %s, which does not exist", pkg)
		}
	}
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
