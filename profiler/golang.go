// SPDX-License-Identifier: Apache-2.0

package profiler

import (
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
	runtimes[*golang.Program, bpf.GoProcess] // nil in most files

	sets map[uint64][]bpf.Label
	cut  uint64 // sets that are not whole
	lost uint64 // sets that found no room
}

// maxLabelSets bounds how many different sets of labels a recording keeps, 1 KB at most each.
const maxLabelSets = 1 << 17

func newGolangs(files *objects, k *bpf.Kernel) *golangs {
	return &golangs{
		runtimes: runtimes[*golang.Program, bpf.GoProcess]{
			files: files, lacks: "goroutines", add: k.AddGo, remove: k.RemoveGo,
			read:  func(e *elfx.File, _ string) (*golang.Program, error) { return golang.Inspect(e) },
			known: map[*object]*golang.Program{}, told: map[int]*image{}, unknown: map[string]bool{},
		},
		sets: map[uint64][]bpf.Label{},
	}
}

// see looks at a new mapping of an image for a program of Go, and tells the kernel of it.
func (gs *golangs) see(im *image, m *timedMapping) {
	path := strings.TrimSuffix(m.path, " (deleted)")
	if gs.told[im.pid] == im || !golang.MayHold(path) {
		return
	}
	o := gs.object(im, m)
	if len(o.loads) == 0 { // not an ELF file, or not to be read
		return
	}
	p := gs.inspect(o, path)
	if p == nil {
		return
	}
	y := &p.Layout
	told := bpf.GoProcess{Tls: p.TLS, G_m: y.GM, G_sched: y.GSched, G_labels: y.GLabels, M_curg: y.MCurg, GobufBp: y.GobufBP, Form: bpf.GoLabelList}
	if y.Map {
		told.Form = bpf.GoLabelMap
	}
	gs.tell(im, told)
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
