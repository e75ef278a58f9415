package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"concord/internal/bench"
)

// table prints tab-separated rows to standard output in columns, numbers to the right.
func table(rows func(w io.Writer)) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	rows(w)
	return w.Flush()
}

func printBenchMachine(m bench.Machine) {
	kind := m.Type
	if m.Software {
		kind = "a software rasterizer on the CPU, no GPU"
	}
	fmt.Printf("%s (%s; %s; %s)\n\n", m.Adapter, m.Backend, kind, orNone(m.Driver))
}

func printGEMM(r *bench.GEMMResult) error {
	printBenchMachine(r.Machine)
	fmt.Printf("matrix products out(M,N), sum of K terms; GFLOP/s, median of %d timings; device's best: %.1f GFLOP/s\n", r.Rounds, r.Best)
	return table(func(w io.Writer) {
		fmt.Fprintln(w, "product MxNxK\tchosen\tGFLOP/s\tof best variant\tof device's best\t   others, GFLOP/s; use")
		for _, s := range r.Shapes {
			if s.Skipped != "" {
				fmt.Fprintf(w, "%v\t-\t-\t-\t-\t   skipped: %s\n", s.Shape, s.Skipped)
				continue
			}
			fmt.Fprintf(w, "%v\t%s\t%.1f\t%.0f %%\t%.0f %%\t   %s\n", s.Shape, s.Choice, s.GFLOPS, 100*s.OfVariants, 100*s.OfDevice, others(s))
		}
	})
}

// others lists the variants that were not chosen, and the use of the product.
func others(s bench.ShapeRate) string {
	var list []string
	for _, v := range s.Variants {
		if v.Name != s.Choice {
			list = append(list, fmt.Sprintf("%s %.1f", v.Name, v.GFLOPS))
		}
	}
	text := strings.Join(list, ", ")
	if s.Use != "" {
		text += "; " + s.Use
	}
	return text
}

func printGram(r *bench.GramResult) error {
	printBenchMachine(r.Machine)
	fmt.Printf("M gradient rows of N values; GB/s of memory traffic, median of %d timings\n", r.Rounds)
	return table(func(w io.Writer) {
		fmt.Fprintln(w, "M\tN\tGram ms\tGram GB/s\tof copy\tcombine ms\tcombine GB/s\tof copy\tcopy GB/s\t")
		for _, x := range r.Rates {
			if x.Skipped != "" {
				fmt.Fprintf(w, "%d\t%d\t-\t-\t-\t-\t-\t-\t-\t  skipped: %s\n", x.M, x.N, x.Skipped)
				continue
			}
			fmt.Fprintf(w, "%d\t%d\t%.2f\t%.2f\t%.0f %%\t%.2f\t%.2f\t%.0f %%\t%.2f\t\n", x.M, x.N,
				1e3*x.GramSeconds, x.GramGBs, 100*x.GramOfCopy, 1e3*x.CombineSeconds, x.CombineGBs, 100*x.CombineOfCopy, x.CopyGBs)
		}
	})
}

func printSteps(r *bench.StepResult) error {
	printBenchMachine(r.Machine)
	fmt.Printf("%s, scope %s, %d tokens a step; %d steps of each method in turns after %d to warm up\n", r.RunFile, r.Scope, r.Tokens,
		r.Steps, r.Warmup)
	err := table(func(w io.Writer) {
		fmt.Fprintf(w, "method\ts/step median\ts/step min\ttokens/s\tpeak MiB\ttime / %[1]s\tpaired\tmemory / %[1]s\t\n", r.Order[0])
		for _, name := range r.Order {
			m := r.Methods[name]
			fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.0f\t%.1f\t", name, m.StepSecondsMedian, m.StepSecondsMin, m.TokensPerSecond,
				float64(m.PeakBytes)/(1<<20))
			if q, ok := r.Ratios[name+"/"+r.Order[0]]; ok {
				fmt.Fprintf(w, "%.3fx\t%.3fx\t%.3fx\t", q.Time, q.TimePaired, q.Memory)
			}
			fmt.Fprintln(w)
		}
	})
	if err != nil {
		return err
	}
	return printBreakdowns(r)
}

// printBreakdowns prints memory by role and, where it was measured, time by phase.
func printBreakdowns(r *bench.StepResult) error {
	fmt.Println("\nMiB at the peak, by role")
	if err := breakdown(r, 1<<20, "%.1f", func(m bench.MethodRate) map[string]float64 {
		out := map[string]float64{}
		for role, n := range m.BytesByRole {
			out[role] = float64(n)
		}
		return out
	}); err != nil || r.Methods[r.Order[0]].PhaseSeconds == nil {
		return err
	}
	fmt.Println("\nms a step, by phase of the device's time")
	return breakdown(r, 1e-3, "%.1f", func(m bench.MethodRate) map[string]float64 { return m.PhaseSeconds })
}

// breakdown prints a row per method and a column per key, in units of unit.
func breakdown(r *bench.StepResult, unit float64, format string, of func(bench.MethodRate) map[string]float64) error {
	keys := map[string]bool{}
	for _, m := range r.Methods {
		for k := range of(m) {
			keys[k] = true
		}
	}
	columns := slices.Sorted(maps.Keys(keys))
	return table(func(w io.Writer) {
		fmt.Fprintln(w, "method\t"+strings.Join(columns, "\t")+"\t")
		for _, name := range r.Order {
			fmt.Fprint(w, name+"\t")
			for _, k := range columns {
				fmt.Fprintf(w, format+"\t", of(r.Methods[name])[k]/unit)
			}
			fmt.Fprintln(w)
		}
	})
}
