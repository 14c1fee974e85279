// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/caps"
)

// The settings of a machine can't be changed under the feet of others, so what
// they decide is checked on paper here; the kernel's own code is the source.
func TestPredictBySettings(t *testing.T) {
	core := caps.Of(caps.BPF, caps.Perfmon)
	usual := Env{HasBTF: true, PerfParanoid: 2}
	with := func(change func(*Env)) Env {
		e := usual
		change(&e)
		return e
	}
	for _, c := range []struct {
		name string
		set  caps.Set
		env  Env
		want Abilities
	}{
		{"core", core, usual, Abilities{CPU: true, OffCPU: true, SideBand: true, KernelNames: true, OwnProcesses: true}},
		{"no BTF", core, with(func(e *Env) { e.HasBTF = false }), Abilities{CPU: true, SideBand: true, KernelNames: true, OwnProcesses: true}},
		{
			"6.15", core, with(func(e *Env) { e.PerfmonReadsMaps = true }),
			Abilities{CPU: true, OffCPU: true, SideBand: true, KernelNames: true, OwnProcesses: true, OtherProcesses: true},
		},
		{"paranoid 4 upstream", core, with(func(e *Env) { e.PerfParanoid = 4 }), Abilities{CPU: true, OffCPU: true, SideBand: true, KernelNames: true, OwnProcesses: true}},
		{
			"paranoid 4 of Ubuntu", core, with(func(e *Env) { e.PerfParanoid, e.ParanoidByDebian = 4, true }),
			Abilities{OffCPU: true, KernelNames: true, OwnProcesses: true},
		},
		{
			"paranoid 4 of Ubuntu for the administrator", caps.Of(caps.SysAdmin), with(func(e *Env) { e.PerfParanoid, e.ParanoidByDebian = 4, true }),
			Abilities{CPU: true, OffCPU: true, SideBand: true, KernelNames: true, OwnProcesses: true, DeletedFiles: true},
		},
		{"paranoid 0 opens events to all", 0, with(func(e *Env) { e.PerfParanoid = 0 }), Abilities{SideBand: true, KernelNames: true, OwnProcesses: true}},
		{"paranoid 1 shows kernel addresses", 0, with(func(e *Env) { e.PerfParanoid = 1 }), Abilities{KernelNames: true, OwnProcesses: true}},
		{"kernel addresses restricted", caps.Of(caps.Syslog), with(func(e *Env) { e.KptrRestrict = 1 }), Abilities{KernelNames: true, OwnProcesses: true}},
		{"kernel addresses hidden", caps.Of(caps.Syslog), with(func(e *Env) { e.KptrRestrict, e.PerfParanoid = 2, 1 }), Abilities{OwnProcesses: true}},
		{"user namespace", ^caps.Set(0), with(func(e *Env) { e.UserNamespace = true }), Abilities{OwnProcesses: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Predict(c.set, c.env)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
