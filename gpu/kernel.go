package gpu

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Kernel is a compiled compute pipeline with entry point main. It lives as long
// as its device.
type Kernel struct {
	d                *Device
	name, what       string // the latter is "run kernel NAME", for errors
	pipeline, layout handle
	access           string  // 'r' or 'w' per binding 1..
	least            []int64 // smallest binding size in bytes
	slow             bool    // a warning about its run time was logged
}

// group is a cached bind group: a kernel with views.
type group struct {
	h    handle
	bufs []*Buffer
}

var (
	comments    = regexp.MustCompile(`(?s)//[^\n]*|/\*.*?\*/`)
	storageDecl = regexp.MustCompile(`@group\(\s*0\s*\)\s*@binding\(\s*(\d+)\s*\)\s*` +
		`var<\s*storage\s*(?:,\s*(read_write|read)\s*)?,?\s*>\s*\w+\s*:\s*([^;]+);`)
	aliasDecl = regexp.MustCompile(`\balias\s+(\w+)\s*=\s*([^;]+);`)
	vecType   = regexp.MustCompile(`^array<\s*vec([234])<`)
)

// NewKernel compiles WGSL text in the subset of naga 0.19. Binding 0 of group 0 is
// the uniform Params, bindings 1.. are storage buffers, numbered without gaps; their
// access is read from the text. On failure the sticky error names the kernel with
// the compiler's message, and the result is nil.
func (d *Device) NewKernel(name, wgsl string) *Kernel {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() {
		return nil
	}
	k := &Kernel{d: d, name: name, what: "run kernel " + name}
	if err := k.parse(wgsl, d.info.Limits); err != nil {
		d.fail(fmt.Errorf("gpu: kernel %s: %w", name, err))
		return nil
	}
	p, l, ok := d.drv.newKernel(name, wgsl, k.access)
	if !d.check("kernel "+name) || !ok {
		d.fail(fmt.Errorf("gpu: kernel %s: the driver returned no pipeline", name))
		return nil
	}
	k.pipeline, k.layout = p, l
	d.kernels = append(d.kernels, k)
	return k
}

// storage are the storage bindings that a text declares.
type storage struct {
	access string
	least  []int64
	err    error
}

// declared are the storage bindings by text: many devices compile the same texts.
var declared sync.Map

// parse reads the storage bindings off the text.
func (k *Kernel) parse(wgsl string, lim Limits) error {
	known, ok := declared.Load(wgsl)
	if !ok {
		known, _ = declared.LoadOrStore(wgsl, bindingsOf(wgsl))
	}
	s := known.(storage)
	if n := len(s.access); s.err == nil && n > lim.MaxStorageBuffersPerStage {
		return fmt.Errorf("%d storage buffers, the device has %d", n, lim.MaxStorageBuffersPerStage)
	}
	k.access, k.least = s.access, s.least
	return s.err
}

func bindingsOf(wgsl string) storage {
	text := comments.ReplaceAllString(wgsl, " ")
	if strings.Contains(text, "alias") { // most texts have none, and the pattern is tried at every byte
		for _, m := range aliasDecl.FindAllStringSubmatch(text, -1) {
			text = strings.ReplaceAll(text, "array<"+m[1]+">", "array<"+m[2]+">")
		}
	}
	found := storageDecl.FindAllStringSubmatch(text, -1)
	access := make([]byte, len(found))
	least := make([]int64, len(found))
	for _, m := range found {
		i, err := strconv.Atoi(m[1])
		if err != nil || i < 1 || i > len(found) || access[i-1] != 0 {
			return storage{err: fmt.Errorf("storage binding %s: bindings must be numbered 1..%d, each once", m[1], len(found))}
		}
		access[i-1] = 'r'
		if m[2] == "read_write" {
			access[i-1] = 'w'
		}
		least[i-1] = 4
		if v := vecType.FindStringSubmatch(strings.TrimSpace(m[3])); v != nil {
			least[i-1] = map[string]int64{"2": 8, "3": 16, "4": 16}[v[1]]
		}
	}
	return storage{access: string(access), least: least}
}

// checkBinds returns why binds cannot be bound to k, or nil.
func (k *Kernel) checkBinds(binds []View) error {
	if len(binds) != len(k.access) {
		return fmt.Errorf("%d bindings given, the text declares %d", len(binds), len(k.access))
	}
	for i, v := range binds {
		if err := k.d.checkView(v, 256); err != nil {
			return fmt.Errorf("binding %d: %w", i+1, err)
		}
		if v.Size < k.least[i] {
			return fmt.Errorf("binding %d: %d bytes of buffer %q, the text needs at least %d", i+1, v.Size, v.Buf.label, k.least[i])
		}
		if most := k.d.info.Limits.MaxStorageBufferBindingSize; v.Size > most {
			return fmt.Errorf("binding %d: %d bytes of buffer %q, the device binds at most %d: split the range", i+1, v.Size, v.Buf.label,
				most)
		}
		for j, u := range binds[:i] {
			if err := aliased(u, v, k.access[j], k.access[i]); err != nil {
				return fmt.Errorf("bindings %d and %d: %w", j+1, i+1, err)
			}
		}
	}
	return nil
}

// aliased applies WebGPU's rule: one buffer is read-only in a dispatch, or
// written in disjoint ranges.
func aliased(u, v View, au, av byte) error {
	if u.Buf != v.Buf || au == 'r' && av == 'r' {
		return nil
	}
	if au != av {
		return fmt.Errorf("buffer %q is bound read and read_write: use two buffers", u.Buf.label)
	}
	if u.Offset < v.Offset+v.Size && v.Offset < u.Offset+u.Size {
		return fmt.Errorf("overlapping ranges of buffer %q are both read_write", u.Buf.label)
	}
	return nil
}

// maxCachedGroups bounds the bind-group cache; above it the cache starts anew.
const maxCachedGroups = 4096

// group returns the cached or a new bind group, 0 when the driver refuses.
func (d *Device) group(k *Kernel, binds []View) handle {
	var space [8 + 24*8]byte
	key := binary.LittleEndian.AppendUint64(space[:0], uint64(k.layout))
	for _, v := range binds {
		key = binary.LittleEndian.AppendUint64(key, uint64(v.Buf.h))
		key = binary.LittleEndian.AppendUint64(key, uint64(v.Offset))
		key = binary.LittleEndian.AppendUint64(key, uint64(v.Size))
	}
	if g := d.groups[string(key)]; g != nil {
		return g.h
	}
	if len(d.groups) >= maxCachedGroups {
		d.flush()
		d.dropGroups()
	}
	g := &group{h: d.drv.newGroup(k.layout, d.stream.arena.h, bindings(binds))}
	if !d.check("bind kernel "+k.name) || g.h == 0 {
		return 0
	}
	for _, v := range binds {
		v.Buf.groups[string(key)] = struct{}{}
		g.bufs = append(g.bufs, v.Buf)
	}
	d.groups[string(key)] = g
	return g.h
}

func bindings(views []View) []binding {
	out := make([]binding, len(views))
	for i, v := range views {
		out[i] = binding{v.Buf.h, v.Offset, v.Size}
	}
	return out
}

func (d *Device) dropGroup(key string) {
	g := d.groups[key]
	if g == nil {
		return
	}
	for _, b := range g.bufs {
		delete(b.groups, key)
	}
	d.drv.freeGroup(g.h)
	delete(d.groups, key)
}

func (d *Device) dropGroups() {
	for key := range d.groups {
		d.dropGroup(key)
	}
}
