package doctor

import (
	"fmt"
	"strings"
)

// Advise names things to try when verdicts of adapter a are not all good, the likeliest
// first, each a sentence with its command or setting. all are the machine's adapters.
func Advise(a Adapter, all []Adapter, verdicts []Verdict) []string {
	var out []string
	add := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	has := func(f func(Verdict) bool) bool {
		for _, v := range verdicts {
			if !v.OK && f(v) {
				return true
			}
		}
		return false
	}
	says := func(texts ...string) bool {
		return has(func(v Verdict) bool {
			for _, s := range texts {
				if strings.Contains(v.Error, s) {
					return true
				}
			}
			return false
		})
	}
	add(has(func(v Verdict) bool { return v.Memory }), "give the tests more memory with --memory, or close other programs that use the GPU")
	if !has(func(v Verdict) bool { return !v.Memory }) {
		return out
	}
	add(says(ErrNotRepeatable.Error()), "take overclocking and undervolting of the GPU off and look at its temperature: "+
		"equal work gave different bits, so no run on it can be resumed exactly")
	add(says("GPU device lost", "GPU does not answer"), "the driver gave up or hung: update it, "+
		"and on Windows free the GPU of other work, as the system resets it after 2 s")
	add(says("Validation Error", "parsing error", "no pipeline"),
		"the driver's compiler refuses a kernel: update the driver, or try another backend")
	add(!a.Software, "update the driver of %s (now: %s), then run concord doctor again", orUnknown(a.Vendor), orUnknown(a.Driver))
	add(a.Software, "update the software rasterizer (Debian: apt-get install mesa-vulkan-drivers), then run concord doctor again")
	for _, b := range all {
		add(b.Index != a.Index, "try adapter %d, %s (%s): concord doctor --adapter %d, and device.adapter = \"%d\" in the run file",
			b.Index, b.Name, b.Backend, b.Index, b.Index)
	}
	return append(out, "report it: concord doctor --out doctor.json, and attach the file")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
