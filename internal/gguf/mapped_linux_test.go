package gguf

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

// BenchmarkRead decodes all tensors of the file of CONCORD_GGUF, which the system has in memory: read
// piece by piece, as Read does, and from a mapping. cpu-ms is processor time for the whole
// file. Both give the same values.
func BenchmarkRead(b *testing.B) {
	path := os.Getenv("CONCORD_GGUF")
	if path == "" {
		b.Skip("CONCORD_GGUF names no file")
	}
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	mapped, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	ways := map[string]func(t Tensor) []float32{
		"pread": func(t Tensor) []float32 {
			v, err := f.Read(t)
			if err != nil {
				b.Fatal(err)
			}
			return v
		},
		"mmap": func(t Tensor) []float32 { return Dequantize(mapped[f.data+t.offset:][:t.bytes], t.Type) },
	}
	for _, t := range f.tensors {
		if !slices.Equal(ways["pread"](t), ways["mmap"](t)) {
			b.Fatalf("%s differs", t.Name)
		}
	}
	for _, name := range []string{"pread", "mmap"} {
		b.Run(name, func(b *testing.B) {
			var before, after syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, t := range f.tensors {
					ways[name](t)
				}
			}
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(spent)/1e6/float64(b.N), "cpu-ms/op")
		})
	}
}
