// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
)

// Status says whether the thing that a check looks at is there.
type Status string

// The states of a check.
const (
	OK       Status = "ok"
	Degraded Status = "degraded" // there in part, or something lesser stands in
	Missing  Status = "missing"
	Unknown  Status = "unknown" // could not be looked at
)

// Need says what Assay wants the thing for.
type Need string

// The needs, most pressing first.
const (
	Core   Need = "core"   // a mode of recording rests on it
	Adds   Need = "adds"   // recording works without; it adds something
	Unused Need = "unused" // told for information: Assay works the same without
)

// Check is the result of looking at one thing.
type Check struct {
	Name   string `json:"name"`
	Group  string `json:"group"`
	Need   Need   `json:"need"`
	Status Status `json:"status"`
	// Found is what was seen, on one line; the kernel's words where it refused.
	Found string `json:"found"`
	// Costs is what it costs to be without.
	Costs string `json:"costs"`
	// Fix is the command that mends it, or what to do where no command can. It
	// is empty when all is well or Assay does not need the thing.
	Fix string `json:"fix,omitempty"`
}

// The keys of Report.CanRecord.
const (
	ModeCPU    = "cpu"
	ModeOffCPU = "offcpu"
	ModeWall   = "wall"
	ModeWakers = "wakers" // offcpu with the stack of the thread that woke
)

// modes lists the keys of Report.CanRecord in the order in which they are told.
var modes = []string{ModeCPU, ModeOffCPU, ModeWall, ModeWakers}

// Report is what Run found.
type Report struct {
	Kernel       string          `json:"kernel"`       // release, as uname -r says it
	Arch         string          `json:"arch"`         // as uname -m says it
	UID          int             `json:"uid"`          // effective user of this process
	Capabilities []string        `json:"capabilities"` // effective; none in a user namespace of our own
	Checks       []Check         `json:"checks"`
	CanRecord    map[string]bool `json:"can_record"` // by mode: cpu, offcpu, wall, wakers
	Foretold     Abilities       `json:"foretold"`   // by Predict, from capabilities and settings
	Limits       []string        `json:"limits"`     // what recordings will lack
	Summary      string          `json:"summary"`    // what can be recorded, with what limits
}

// OK says that recording in the default mode, cpu, works.
func (r *Report) OK() bool { return r.CanRecord[ModeCPU] }

// conclude fills what follows from the checks.
func (r *Report) conclude(loads []LoadResult) {
	r.CanRecord = canRecord(r.Checks, loads)
	r.Limits = limits(r.Checks)
	r.Summary = r.summary()
}

// canRecord joins what each mode rests on.
func canRecord(checks []Check, loads []LoadResult) map[string]bool {
	have := make(map[string]bool)
	for _, c := range checks {
		have[c.Name] = c.Status != Missing
	}
	ground := have[nameHash] && have[nameArray] && have[nameTables] && have[nameRing] && have[nameTaskIter]
	cpu := ground && have[nameClock] && have[namePerfEvent] && have[nameBTFFree]
	offcpu := ground && have[nameTaskStorage] && have[nameBTFSwitch] && have[nameBTFWaking]
	can := map[string]bool{ModeCPU: cpu, ModeOffCPU: offcpu, ModeWall: cpu && offcpu, ModeWakers: offcpu}
	for _, l := range loads {
		if l.Err != nil {
			forbid(can, l.modes())
		}
	}
	return can
}

// forbid takes modes away, and with a part of wall or of wakers those too.
func forbid(can map[string]bool, without []string) {
	for _, mode := range without {
		can[mode] = false
	}
	can[ModeWall] = can[ModeWall] && can[ModeCPU] && can[ModeOffCPU]
	can[ModeWakers] = can[ModeWakers] && can[ModeOffCPU]
}

// limits lists what it costs to be without each thing that is found wanting.
func limits(checks []Check) []string {
	list := []string{}
	for _, c := range checks {
		wanting := c.Status == Missing || c.Status == Degraded
		if wanting && c.Need != Unused && !slices.Contains(list, c.Costs) {
			list = append(list, c.Costs)
		}
	}
	return list
}

func (r *Report) summary() string {
	able := slices.DeleteFunc(slices.Clone(modes), func(mode string) bool { return !r.CanRecord[mode] })
	switch {
	case len(able) == 0:
		return "Assay can't record here: " + strings.Join(firstCauses(r.Checks), ", ") + " missing."
	case len(r.Limits) == 0:
		return "Assay can record " + strings.Join(able, ", ") + ", without limits."
	}
	return "Assay can record " + strings.Join(able, ", ") + "; limits: " + strings.Join(r.Limits, "; ") + "."
}

// firstCauses names what the modes rest on and is missing, from the first
// group in which something is: groups go from causes to what follows.
func firstCauses(checks []Check) []string {
	var group string
	var names []string
	for _, c := range checks {
		if c.Status == Missing && c.Need == Core && (group == "" || c.Group == group) {
			group = c.Group
			names = append(names, c.Name)
		}
	}
	return names
}
