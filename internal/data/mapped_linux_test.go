package data

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkTokens compares the ways to read examples of 512 tokens from a file of ids of 256 MB (or
// CONCORD_TOKENS_MB) that the system has in memory: by position, as tokenFile.example does, and from
// a mapping. resident-MB is the growth of the process's memory, as the system counts it, after
// all examples were read once; cpu-ns is processor time, of the system's part too.
func BenchmarkTokens(b *testing.B) {
	const n = 512
	words := n + extraWords
	size := 256
	if mb := os.Getenv("CONCORD_TOKENS_MB"); mb != "" {
		size, _ = strconv.Atoi(mb)
	}
	count := size << 20 / (4 * words)
	f, err := os.Create(b.TempDir() + "/x" + idsSuffix)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	raw := make([]byte, 4*words)
	for i := range count {
		for k := range n {
			binary.LittleEndian.PutUint32(raw[4*(k+1):], uint32(i*k)%1000)
		}
		binary.LittleEndian.PutUint32(raw[4*(n+1):], crc32.Checksum(raw[:4*(n+1)], idsTable))
		if _, err := f.Write(raw); err != nil {
			b.Fatal(err)
		}
	}
	t := &tokenFile{ids: diskFile{f}, sum: summary{Vocab: 1000}}
	read := func(b *testing.B, at func(i int) (Example, error)) {
		before := resident(b)
		for i := range count {
			if x, err := at(i); err != nil || len(x.IDs) != n {
				b.Fatal(len(x.IDs), err)
			}
		}
		grown := resident(b) - before
		r := rand.New(rand.NewPCG(1, 2))
		began := processorTime(b)
		for b.Loop() {
			if _, err := at(r.IntN(count)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(grown, "resident-MB")
	}
	b.Run("pread", func(b *testing.B) {
		read(b, func(i int) (Example, error) { return t.example(int64(i*words), n) })
	})
	b.Run("mmap", func(b *testing.B) {
		mapped, err := syscall.Mmap(int(f.Fd()), 0, count*4*words, syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			b.Fatal(err)
		}
		defer syscall.Munmap(mapped)
		read(b, func(i int) (Example, error) { return parseExample(mapped[i*4*words:][:4*words], n, t.sum.Vocab) })
	})
}

// resident is the process's memory in MB, as the system counts it.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / 1e6
}

// processorTime is the process's, in nanoseconds.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
