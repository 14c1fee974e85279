// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// Reason says why locations have no name. Its text is fit for people.
type Reason string

// The reasons. Detail of Unnamed says more where the comment has a colon.
const (
	NoSymbols      Reason = "no symbols (stripped)"
	NotCovered     Reason = "not covered by a symbol"
	NotInFile      Reason = "outside the segments of the file"
	FileGone       Reason = "file gone"
	FileReplaced   Reason = "file replaced (build ID differs)"
	FileUnreadable Reason = "file unreadable" // the error of the open or read
	InvalidELF     Reason = "ELF invalid"     // what is wrong, and where
	NoPerfMap      Reason = "no perf map"
	BadPerfMap     Reason = "perf map unreadable"                        // the error
	BadJITDump     Reason = "jitdump unreadable"                         // the error
	BadDebugInfo   Reason = "debug information unreadable"               // what is wrong, and where
	NoDebugPart    Reason = "a part of the debug information is missing" // which
	KernelHidden   Reason = "kernel addresses hidden (kernel.kptr_restrict, or CAP_SYSLOG missing)"
	KernelReplaced Reason = "another kernel (build ID differs)"
	NoKallsyms     Reason = "kernel symbols unreadable" // the error
	LeftForLater   Reason = "not looked for yet"
	NoMapping      Reason = "address outside every mapping"
)

// Report says, for each mapping with locations, how many have names and why the others have none.
type Report struct {
	Mappings []MappingReport // in the order of the profile, locations without a mapping last
}

// MappingReport is about one mapping: Locations is Named plus the sum of Unnamed.
type MappingReport struct {
	Mapping   *profile.Mapping // nil for locations outside every mapping
	Locations int
	Named     int
	Unnamed   []Unnamed
	// Lineless counts locations of which lines, inlined calls or their names are missing, because debug information that the file has
	// couldn't be read. They may be Named all the same.
	Lineless []Unnamed
}

// Unnamed counts the locations of a mapping that one reason left without a name.
type Unnamed struct {
	Reason    Reason
	Detail    string
	Locations int
}

// String is the reason with its detail.
func (u Unnamed) String() string {
	if u.Detail == "" {
		return string(u.Reason)
	}
	return string(u.Reason) + ": " + u.Detail
}

// Named is the number of locations with names in all mappings.
func (r *Report) Named() int {
	n := 0
	for _, m := range r.Mappings {
		n += m.Named
	}
	return n
}

// Unnamed adds up the reasons of all mappings, without their details, most locations first.
func (r *Report) Unnamed() []Unnamed {
	return sumUp(r.Mappings, func(m MappingReport) []Unnamed { return m.Unnamed })
}

func sumUp(mappings []MappingReport, of func(MappingReport) []Unnamed) []Unnamed {
	sums := make(map[Reason]int)
	for _, m := range mappings {
		for _, u := range of(m) {
			sums[u.Reason] += u.Locations
		}
	}
	var all []Unnamed
	for why, n := range sums {
		all = append(all, Unnamed{Reason: why, Locations: n})
	}
	slices.SortFunc(all, func(a, b Unnamed) int {
		return cmp.Or(b.Locations-a.Locations, cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// Lineless adds up why lines are missing in all mappings.
func (r *Report) Lineless() []Unnamed {
	return sumUp(r.Mappings, func(m MappingReport) []Unnamed { return m.Lineless })
}

// Worst returns up to n mappings that have locations without a name, those with most of them first.
func (r *Report) Worst(n int) []MappingReport {
	worst := slices.DeleteFunc(slices.Clone(r.Mappings), func(m MappingReport) bool { return len(m.Unnamed) == 0 })
	slices.SortStableFunc(worst, func(a, b MappingReport) int {
		return cmp.Compare(b.Locations-b.Named, a.Locations-a.Named)
	})
	return worst[:min(n, len(worst))]
}

// String names the mapping and says how many locations have no name, by reason.
func (m MappingReport) String() string {
	name := "no mapping"
	if m.Mapping != nil {
		name = m.Mapping.File
	}
	var reasons []string
	for _, u := range m.Unnamed {
		reasons = append(reasons, strconv.Itoa(u.Locations)+" "+u.String())
	}
	return name + ": " + strings.Join(reasons, ", ")
}
