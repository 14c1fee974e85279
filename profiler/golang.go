// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler/golang"
)

// golangs are the processes of Go: the kernel is told where their threads keep the goroutine that they run, and sends its labels, with their
// text.
type golangs struct {
	files   *objects
	add     func(pid int, p bpf.GoProcess) error
	remove  func(pid int) error
	known   map[*object]*golang.Program // nil in most
	told    map[int]*image              // for which the kernel was told, by PID
	sets    map[uint64][]bpf.Label
	unknown map[string]bool // why there are no labels, one line a file
	cut     uint64          // sets that are not whole
	lost    uint64          // sets that found no room
}

// maxLabelSets bounds how many different sets of labels a recording keeps, 1 KB at most each.
const maxLabelSets = 1 << 17

func newGolangs(files *objects, k *bpf.Kernel) *golangs {
	return &golangs{
		files: files, add: k.AddGo, remove: k.RemoveGo, known: map[*object]*golang.Program{}, told: map[int]*image{},
		sets: map[uint64][]bpf.Label{}, unknown: map[string]bool{},
	}
}

// see looks at a new mapping of an image for a program of Go, and tells the kernel of it.
func (gs *golangs) see(im *image, m *timedMapping) {
	path := strings.TrimSuffix(m.path, " (deleted)")
	if gs.told[im.pid] == im || !golang.MayHold(path) {
		return
	}
	if m.obj == nil {
		m.obj = gs.files.of(im.pid, &m.mapping)
	}
	p := gs.inspect(m.obj, path)
	if p == nil {
		return
	}
	y := &p.Layout
	told := bpf.GoProcess{Tls: p.TLS, G_m: y.GM, G_sched: y.GSched, G_labels: y.GLabels, M_curg: y.MCurg, GobufBp: y.GobufBP, Form: bpf.GoLabelList}
	if y.Map {
		told.Form = bpf.GoLabelMap
	}
	if err := gs.add(im.pid, told); err != nil {
		gs.unknown[err.Error()] = true
		return
	}
	gs.told[im.pid] = im
}

// forget takes back what the kernel was told of a process, unless that was of this image.
func (gs *golangs) forget(pid int, but *image) {
	if im, ok := gs.told[pid]; !ok || im == but {
		return
	}
	delete(gs.told, pid)
	if err := gs.remove(pid); err != nil {
		gs.unknown[err.Error()] = true
	}
}

func (gs *golangs) inspect(o *object, path string) *golang.Program {
	p, ok := gs.known[o]
	if ok {
		return p
	}
	p, err := inspectGo(o)
	if err != nil {
		gs.unknown[fmt.Sprintf("no goroutines of %s: %v", path, err)] = true
	}
	gs.known[o] = p
	return p
}

func inspectGo(o *object) (*golang.Program, error) {
	if len(o.loads) == 0 {
		return nil, nil // not an ELF file, or not to be read
	}
	view, err := o.view()
	if err != nil {
		return nil, err
	}
	e, err := elfx.Open(view, view.Size())
	if err != nil {
		return nil, err
	}
	return golang.Inspect(e)
}

// reasons are why there are no labels where there may be some.
func (gs *golangs) reasons() []string {
	all := slices.Sorted(maps.Keys(gs.unknown))
	return all[:min(len(all), maxReasons)]
}

// Labels keeps a new set of labels.
func (a *aggregate) Labels(l bpf.Labels) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.golang.keep(l)
}

func (gs *golangs) keep(l bpf.Labels) {
	if gs.sets[l.ID] != nil {
		return
	}
	if len(gs.sets) >= maxLabelSets {
		gs.lost++
		return
	}
	if l.Cut {
		gs.cut++
	}
	gs.sets[l.ID] = l.List
}

// ourLabels are the keys that samples have from us.
var ourLabels = []string{"pid", "tid", "comm", "cgroup", "container_id", "thread_state", "runqueue", "syscall", "cpu", "wait"}

// addTo adds a set of labels to a sample. A key that is one of ours, or none, gets a prefix. Labels without a value are left out: a profile
// can't hold them.
func (gs *golangs) addTo(s *profile.Sample, id uint64) {
	if id == 0 {
		return
	}
	set, ok := gs.sets[id]
	if !ok {
		set = []bpf.Label{{Key: "go.labels", Value: "lost"}}
	}
	for _, l := range set {
		key, value := strings.ToValidUTF8(l.Key, "�"), strings.ToValidUTF8(l.Value, "�")
		if key == "" || slices.Contains(ourLabels, key) {
			key = "go." + key
		}
		if value != "" {
			s.Label[key] = append(s.Label[key], value)
		}
	}
}
