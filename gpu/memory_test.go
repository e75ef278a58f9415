package gpu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVideoMemory reads a tree like that of Linux's amdgpu: an integrated GPU, two
// discrete ones of one model, and a card of a driver that does not tell.
func TestVideoMemory(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"card0/device/vendor": "0x1002\n", "card0/device/device": "0x164e\n", "card0/device/mem_info_vram_total": "536870912\n",
		"card1/device/vendor": "0x1002\n", "card1/device/device": "0x744c\n", "card1/device/mem_info_vram_total": "25753026560\n",
		"card2/device/vendor": "0x1002\n", "card2/device/device": "0x744c\n", "card2/device/mem_info_vram_total": "21458059264\n",
		"card3/device/vendor": "0x10de\n", "card3/device/device": "0x2684\n",
		"card4/device/vendor": "0x1002\n", "card4/device/device": "0x7480\n", "card4/device/mem_info_vram_total": "much\n",
		"card1-DP-1/status": "connected\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		vendor, device uint32
		want           int64
	}{{0x1002, 0x164e, 536870912}, {0x1002, 0x744c, 21458059264}, {0x10de, 0x2684, 0}, {0x1002, 0x7480, 0}, {0x8086, 0x56a0, 0}} {
		if got := videoMemory(root, c.vendor, c.device); got != c.want {
			t.Errorf("%04x:%04x has %d, want %d", c.vendor, c.device, got, c.want)
		}
	}
	if got := videoMemory(filepath.Join(root, "none"), 0x1002, 0x744c); got != 0 {
		t.Errorf("no folder gave %d", got)
	}
}

// TestGuessIsTold: where the memory of a discrete GPU is unknown, the user is told
// what is assumed and which setting replaces it.
func TestGuessIsTold(t *testing.T) {
	first := open(t, Options{}) // skips without an adapter
	for budget, lines := range map[int64]int{0: 1, 1 << 30: 0} {
		l := defaultDriver.list(bitVulkan | bitMetal | bitDX12)
		n, msg := l.open(first.Info().Index, false, false)
		l.free()
		if n == nil {
			t.Fatal(msg)
		}
		var log []string
		info := AdapterInfo{Name: "Test RTX", Type: Discrete, Limits: first.Info().Limits}
		d, err := newDevice(n, info, Options{MemoryBudget: budget, ReadDeadline: 1e9, Log: func(s string) { log = append(log, s) }}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(log) != lines || lines > 0 && (!strings.Contains(log[0], "8 GiB") || !strings.Contains(log[0], "[device] memory") ||
			d.Memory().Budget != 8<<30) {
			t.Errorf("budget %d: log %q", budget, log)
		}
		d.Close()
	}
}
