package main

import (
	"fmt"
	"strings"

	"concord/internal/doctor"
	"concord/internal/stepcheck"
)

// printMachine prints all but the tests.
func printMachine(r doctorReport) {
	v := r.Version
	fmt.Printf("concord %s, %s, %s/%s\n%s\n", v.Version, v.Go, v.OS, v.Arch, r.System)
	for _, d := range r.Drivers {
		fmt.Println("driver:", d)
	}
	if len(r.Adapters) > 0 {
		fmt.Println("\nadapters (* is the one that is used):")
	}
	chosen := doctor.Adapter{}
	for _, a := range r.Adapters {
		printAdapter(a)
		if a.Chosen {
			chosen = a
		}
	}
	fmt.Println()
	if chosen.Software {
		fmt.Println("no GPU is used: the adapter is a rasterizer on the CPU, so everything works, slowly")
	}
	if r.Budget > 0 {
		fmt.Printf("memory budget: %s (--memory, or device.memory in a run file)\n", sizeText(r.Budget))
	}
	if r.Cache.Writable {
		fmt.Printf("cache folder:  %s, writable\n", r.Cache.Path)
	} else {
		fmt.Printf("cache folder:  %s NOT WRITABLE, kernels are measured anew in every run: %s\n", r.Cache.Path, r.Cache.Error)
	}
}

func printAdapter(a doctor.Adapter) {
	mark, kind := " ", a.Type
	if a.Chosen {
		mark = "*"
	}
	if a.Software {
		kind = "CPU, software rasterizer"
	}
	timestamps := "on the device"
	if !a.Timestamps {
		timestamps = "no; profiling uses the host's clock"
	}
	fmt.Printf("%s %d: %s\n", mark, a.Index, a.Name)
	fmt.Printf("     backend     %s\n     type        %s\n     vendor      %s\n     driver      %s\n     timestamps  %s\n",
		a.Backend, kind, orNone(a.Vendor), orNone(a.Driver), timestamps)
	fmt.Printf("     features    %s\n", featureText(a.Features))
	l := a.Limits
	fmt.Printf("     limits      buffer %s, storage binding %s, %d storage buffers per stage, workgroup storage %s,\n"+
		"                 %d invocations per workgroup, %d workgroups per dimension, offset alignment %d\n",
		sizeText(l.MaxBufferSize), sizeText(l.MaxStorageBufferBindingSize), l.MaxStorageBuffersPerStage, sizeText(int64(l.MaxWorkgroupStorage)),
		l.MaxInvocationsPerWorkgroup, l.MaxWorkgroupsPerDim, l.MinStorageAlign)
}

// featureText lists the features that have a name; --json has the others too.
func featureText(features []string) string {
	named, native := []string{}, 0
	for _, f := range features {
		if strings.HasPrefix(f, "native-") {
			native++
			continue
		}
		named = append(named, f)
	}
	if native > 0 {
		named = append(named, fmt.Sprintf("and %d of the library's own", native))
	}
	return orNone(strings.Join(named, " "))
}

func printVerdict(v doctor.Verdict) {
	if v.OK {
		fmt.Printf("  ok      %-32s %6.2f s   NMSE %-8s of %d values\n", v.Kernel, v.Seconds, errorText(v.NMSE), v.Values)
		return
	}
	fmt.Printf("  FAILED  %-32s   %s\n", v.Kernel, strings.ReplaceAll(v.Error, "\n", "\n          "))
}

// printTrainingSteps prints the whole training steps, a line for each figure.
func printTrainingSteps(steps []stepcheck.Verdict) {
	if len(steps) > 0 {
		fmt.Println("\na whole training step of a tiny model in three languages (UPGrad by layer, clipping, AdamW) against the CPU, twice")
	}
	for _, v := range steps {
		if v.OK {
			fmt.Printf("  ok      %-32s %6.2f s\n", v.Model+" embeddings", v.Seconds)
		} else {
			fmt.Printf("  FAILED  %-32s   %s\n", v.Model+" embeddings", strings.ReplaceAll(v.Error, "\n", "\n          "))
		}
		for _, f := range v.Figures {
			fmt.Printf("            %-24s NMSE %-8s bound %-8s of %d values, the worst in %s\n",
				f.Name, errorText(f.NMSE), errorText(f.Bound), f.Values, f.Part)
		}
		if v.Repeats {
			fmt.Println("            two steps                gave the same bits")
		}
	}
}

// errorText is a mean square error for people; where it is not a number it is the largest.
func errorText(nmse float64) string {
	if nmse == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1e", nmse)
}

// printEnd prints the lines after the verdicts of one adapter.
func printEnd(t adapterTests) {
	if s := t.Speed; s != nil {
		fmt.Printf("\nspeed: %.1f GFLOP/s in a %d³ product (n = %d), %.1f GB/s in a copy\n", s.GFLOPS, s.Size, s.Runs, s.CopyGBs)
	}
	if len(t.Advice) > 0 {
		fmt.Println("\nwhat to try, the likeliest first:")
	}
	for _, a := range t.Advice {
		fmt.Println("  -", a)
	}
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<60: // the number of drivers without a limit
		return "unlimited"
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
