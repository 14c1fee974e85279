// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/symbolize/dwarf"
)

// kind says which source can name the addresses of a mapping.
type kind int

const (
	kindNone kind = iota
	kindKernel
	kindVsyscall
	kindFile
	kindAnon
)

// kernelStart is where the kernel's half of the address space begins, on amd64 and on arm64.
const kernelStart = 1 << 63

func kindOf(m *profile.Mapping) kind {
	switch {
	case m == nil:
		return kindNone
	case m.File == "[vsyscall]": // in the kernel's half, but user code
		return kindVsyscall
	case m.Start >= kernelStart, strings.HasPrefix(m.File, "[kernel."):
		return kindKernel
	case m.File == "[vdso]":
		return kindFile
	case m.File == "", m.File == "//anon", strings.HasPrefix(m.File, "["): // [anon…], [heap], [stack]
		return kindAnon
	}
	return kindFile
}

// target is a mapping with its locations that are to be named.
type target struct {
	mapping   *profile.Mapping // nil for locations outside every mapping
	locations []*profile.Location
	report    MappingReport

	files, lines, inlined int // named locations that have these
}

// newTargets gives one target for each mapping that has locations, in the order of the profile.
func newTargets(p *profile.Profile) []*target {
	byMapping := make(map[*profile.Mapping]*target)
	for _, l := range p.Location {
		t := byMapping[l.Mapping]
		if t == nil {
			t = &target{mapping: l.Mapping, report: MappingReport{Mapping: l.Mapping}}
			byMapping[l.Mapping] = t
		}
		t.report.Locations++
		if len(l.Line) > 0 {
			t.count(l)
		} else {
			t.locations = append(t.locations, l)
		}
	}
	var targets []*target
	for _, m := range append(slices.Clone(p.Mapping), nil) {
		if t := byMapping[m]; t != nil {
			targets = append(targets, t)
		}
	}
	return targets
}

// count notes that a location has lines.
func (t *target) count(l *profile.Location) {
	t.report.Named++
	if !slices.ContainsFunc(l.Line, func(n profile.Line) bool { return n.Function == nil || n.Function.Filename == "" }) {
		t.files++
	}
	if !slices.ContainsFunc(l.Line, func(n profile.Line) bool { return n.Line == 0 }) {
		t.lines++
	}
	if len(l.Line) > 1 {
		t.inlined++
	}
}

// unnamed notes why n locations stay without a name.
func (t *target) unnamed(why Reason, detail string, n int) {
	t.report.Unnamed = addReason(t.report.Unnamed, Unnamed{why, detail, n})
}

// lineless notes why lines of a location are missing.
func (t *target) lineless(err error) {
	u := Unnamed{BadDebugInfo, err.Error(), 1}
	if errors.Is(err, dwarf.ErrNoSplit) || errors.Is(err, dwarf.ErrNoAlternate) {
		u.Reason = NoDebugPart
	}
	t.report.Lineless = addReason(t.report.Lineless, u)
}

func addReason(all []Unnamed, u Unnamed) []Unnamed {
	if u.Locations == 0 {
		return all
	}
	for i, have := range all {
		if have.Reason == u.Reason && (have.Detail == u.Detail || len(all) >= maxDetails) {
			all[i].Locations += u.Locations
			return all
		}
	}
	return append(all, u)
}

// maxDetails bounds the reasons of one mapping that differ in detail only.
const maxDetails = 100

// finish sets what the mapping claims to have. A claim keeps pprof from looking for names itself, so files and lines are
// claimed when all named locations have them, and functions when there is at least one.
func (t *target) finish() {
	if t.mapping == nil {
		return
	}
	named := t.report.Named
	t.mapping.HasFunctions = named > 0
	t.mapping.HasFilenames = named > 0 && t.files == named
	t.mapping.HasLineNumbers = named > 0 && t.lines == named
	t.mapping.HasInlineFrames = t.inlined > 0
}
