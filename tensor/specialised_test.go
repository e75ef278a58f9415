package tensor

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"concord/shaders"
)

// TestShaders runs external compilers over every kernel, as its file stands and
// in each specialisation that an operation asks for: naga (also to SPIR-V, MSL
// and HLSL, which are the ways to Vulkan, Metal and DX12), tint (strict, with the
// uniformity analysis that naga lacks), and on their output spirv-val and
// glslangValidator. A tool that is not installed shows as a skipped subtest.
func TestShaders(t *testing.T) {
	texts := shaderTexts(t)
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name+".wgsl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		tool string
		args []string // % is the file's path without extension
		fix  func(path string) error
		few  bool // the default specialisation only: slow
	}{
		{tool: "tint", args: []string{"--format", "wgsl", "-o", os.DevNull, "%.wgsl"}},
		{tool: "naga", args: []string{"--metal-version", "2.4", "--shader-model", "60", "%.wgsl", "%.spv", "%.metal", "%.hlsl"}},
		{tool: "spirv-val", args: []string{"--target-env", "vulkan1.1", "%.spv"}}, // these two after naga
		{tool: "glslangValidator", args: []string{"-D", "-V", "-S", "comp", "-e", "main", "--target-env", "vulkan1.1", "-o", "%.out", "%.hlsl"}, fix: withoutCasts, few: true},
	} {
		t.Run(c.tool, func(t *testing.T) {
			if _, err := exec.LookPath(c.tool); err != nil {
				t.Skipf("NOT CHECKED: %s is not installed; the device's own compiler is then the only check of the kernels", c.tool)
			}
			if _, err := exec.LookPath("naga"); err != nil && c.tool != "tint" {
				t.Skipf("NOT CHECKED: %s reads what naga writes, and naga is not installed", c.tool)
			}
			names := slices.Sorted(maps.Keys(texts))
			if c.few {
				names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, lowered) })
			}
			eachShader(names, func(name string) {
				path := filepath.Join(dir, name)
				if c.fix != nil {
					if err := c.fix(path); err != nil {
						t.Error(err)
						return
					}
				}
				args := make([]string, len(c.args))
				for i, a := range c.args {
					args[i] = strings.ReplaceAll(a, "%", path)
				}
				if out, err := exec.Command(c.tool, args...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", name, err, firstLines(out, 12))
				}
			})
		})
	}
}

// withoutCasts rewrites path.hlsl: glslangValidator does not know the cast of 0
// to an array, which DX12's compilers do.
func withoutCasts(path string) error {
	b, err := os.ReadFile(path + ".hlsl")
	if err != nil {
		return err
	}
	return os.WriteFile(path+".hlsl", arrayCast.ReplaceAll(b, nil), 0o600)
}

var arrayCast = regexp.MustCompile(` = \(\w+(\[\d+\])+\)0`)

// eachShader calls f for every name on a few goroutines.
func eachShader(names []string, f func(name string)) {
	var wg sync.WaitGroup
	work := make(chan string)
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for name := range work {
				f(name)
			}
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	wg.Wait()
}

func firstLines(b []byte, n int) []byte {
	lines := bytes.SplitAfterN(b, []byte("\n"), n+1)
	return bytes.Join(lines[:min(n, len(lines))], nil)
}

// lowered marks the names of specialised texts.
const lowered = "-lowered"

// shaderTexts maps a name, fit for a file, to each kernel's file and to each
// specialised text.
func shaderTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, name := range shaders.Names() {
		texts[name] = shaderSource(t, name)
	}
	for _, s := range specialisations() {
		text, err := shaders.Specialize(s.kernel, s.consts)
		if err != nil {
			t.Fatalf("%s: %v", s.kernel, err)
		}
		name := s.kernel + lowered
		for _, c := range slices.Sorted(maps.Keys(s.consts)) {
			name += "-" + c + s.consts[c]
		}
		texts[name] = text
	}
	return texts
}

func shaderSource(t *testing.T, name string) string {
	t.Helper()
	src, err := shaders.Source(name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// specialisation is a kernel with the override values an operation gives it.
type specialisation struct {
	kernel string
	consts map[string]string
}

// specialisations lists what the operations ask of Engine.run: all of it where the
// values are few, samples of HEAD_DIM. checkSpecialisations holds the list to
// what the tests in fact compile.
func specialisations() []specialisation {
	var list []specialisation
	add := func(kernel string, pairs ...any) {
		c := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = fmt.Sprint(pairs[i+1])
		}
		list = append(list, specialisation{kernel, c})
	}
	for _, kernel := range shaders.Names() {
		add(kernel) // the defaults, which is all that most kernels know
	}
	for _, v := range variants {
		for _, op := range []string{"NN", "NT", "TN", "SEG"} {
			for i := range 4 {
				for _, d := range slices.Concat(DTypes(), FileTypes()) {
					kernel, consts, _ := v.consts(op, d, i&1 != 0, i&2 != 0)
					list = append(list, specialisation{kernel, consts})
				}
			}
		}
	}
	for _, x := range slices.Concat(DTypes(), FileTypes()) {
		list = append(list, specialisation{"embedding_forward", choose("TABLE", x)})
		for _, lanes := range []string{"8", "32", "64"} {
			consts := choose("W", x)
			consts["LANES"] = lanes
			list = append(list, specialisation{"dora_squares", consts})
		}
		for _, out := range []DType{F32, BF16, F16} {
			consts := choose("X", x)
			maps.Copy(consts, choose("OUT", out))
			list = append(list, specialisation{"convert", consts})
		}
	}
	add("factored_mean", "SIZE", 1)
	for _, weight := range []DType{F32, BF16} {
		list = append(list, specialisation{"factored_update", choose("WEIGHT", weight)})
		for _, m := range []DType{F32, BF16, Dynamic8} {
			for _, v := range []DType{F32, BF16, Dynamic8Root} {
				consts := choose("WEIGHT", weight)
				maps.Copy(consts, choose("M", m))
				maps.Copy(consts, choose("V", v))
				list = append(list, specialisation{"adamw_packed", consts})
			}
		}
	}
	for _, d := range []int{4, 12, 32, 64, 128, maxHeadDim} {
		for _, variant := range []string{attentionDirect, attentionFlash} {
			add("attention_forward_"+variant, "HEAD_DIM", d)
			add("attention_backward_query_"+variant, "HEAD_DIM", d)
			add("attention_backward_key_"+variant, "HEAD_DIM", d, "VALUES", 0)
			add("attention_backward_key_"+variant, "HEAD_DIM", d, "VALUES", 1)
		}
	}
	for _, kernel := range []string{"attention_forward_direct", "attention_backward_query_direct", "attention_backward_key_direct",
		"attention_delta", "splitk_reduce"} {
		add(kernel, "WG", 1) // tests of folded grids
	}
	for _, kernel := range []string{"attention_forward_direct", "attention_forward_flash", "attention_backward_query_direct",
		"attention_backward_query_flash", "attention_backward_key_direct", "attention_backward_key_flash"} {
		add(kernel, "SOFTCAP", wgslFloat(50))
	}
	for _, lanes := range []int{8, 32, 64} {
		add("layernorm_forward", "LANES", lanes)
		add("layernorm_backward", "LANES", lanes)
		for _, offset := range []float32{0, 1} {
			add("rmsnorm_forward", "LANES", lanes, "OFFSET", wgslFloat(offset))
			add("rmsnorm_backward", "LANES", lanes, "OFFSET", wgslFloat(offset))
		}
	}
	add("ghost_fold", "OUTS", ghostOuts)
	for _, strip := range []int{16, 32, 64} {
		add("sum_squares", "STRIP", strip)
		for rows := 1; rows <= gramBlock; rows++ {
			for _, wg := range []int{8, 64} {
				add("gram", "ROWS", rows, "STRIP", strip, "WG", wg)
				add("gram", "ROWS", rows, "STRIP", strip, "WG", wg, "WEIGHTED", 1)
				for height := gramBlock; height >= rows; height /= 2 {
					add("gram_cross", "HEIGHT", height, "ROWS", rows, "STRIP", strip, "WG", wg)
					add("gram_cross", "HEIGHT", height, "ROWS", rows, "STRIP", strip, "WG", wg, "WEIGHTED", 1)
				}
			}
		}
	}
	for steps := minSteps; steps <= maxSteps; steps *= 2 {
		for _, weighted := range []int{0, 1} {
			for _, rows := range []int{1, 9, gramTile} {
				add("gram_tile", "HEIGHT", rows, "ROWS", rows, "SAME", 1, "STEPS", steps, "WEIGHTED", weighted)
				add("gram_tile", "HEIGHT", rows, "ROWS", gramTile, "STEPS", steps, "WEIGHTED", weighted)
			}
		}
	}
	for count := 1; count <= combineRows; count++ {
		add("combine", "COUNT", count)
	}
	for _, vocab := range []int{4096, 16384, 1 << 17} {
		wg, lanes := crossEntropyLanes(vocab)
		add("cross_entropy", "WG", wg, "LANES", lanes)
		add("cross_entropy", "WG", wg, "LANES", lanes, "KEEP", 1)
		add("cross_entropy", "WG", wg, "LANES", lanes, "SOFTCAP", wgslFloat(30))
	}
	add("logits_gradient", "SOFTCAP", wgslFloat(30))
	add("token_gather")
	return list
}

// checkSpecialisations fails the test when e compiled a kernel with an override
// that specialisations does not set for it. Every engine of the tests ends here.
func checkSpecialisations(t testing.TB, e *Engine) {
	t.Helper()
	known := map[string]bool{} // "kernel NAME"
	for _, s := range specialisations() {
		known[s.kernel] = true
		for c := range s.consts {
			known[s.kernel+" "+c] = true
		}
	}
	for key := range e.kernels {
		kernel, consts, _ := strings.Cut(strings.TrimSuffix(key, "]"), "[")
		for pair := range strings.SplitSeq(consts, ",") {
			name, _, _ := strings.Cut(pair, "=")
			if !known[strings.TrimSpace(kernel+" "+name)] {
				t.Errorf("kernel %s was compiled with %q, which specialisations in specialised_test.go does not list", kernel, pair)
			}
		}
	}
}

// TestSpecialisationsExist guards the list itself: its kernels and overrides are
// those of the files and its values numbers, or choices of includes.
func TestSpecialisationsExist(t *testing.T) {
	for _, s := range specialisations() {
		src := shaderSource(t, s.kernel)
		for c, v := range s.consts {
			if slices.ContainsFunc(layouts[:], func(l layout) bool { return l.name == v }) {
				continue // a choice that does not exist does not specialise
			}
			kind := "u32"
			_, err := strconv.Atoi(v)
			if number, ok := strings.CutSuffix(v, "f"); ok {
				_, err = strconv.ParseFloat(number, 32)
				kind = "f32"
			}
			if err != nil || !strings.Contains(src, "\noverride "+c+": "+kind+" = ") {
				t.Errorf("%s: no override %s: %s for the value %q", s.kernel, c, kind, v)
			}
		}
	}
}
