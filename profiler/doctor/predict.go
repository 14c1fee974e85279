// SPDX-License-Identifier: Apache-2.0

package doctor

import "github.com/assaylab/assay/internal/caps"

// Env is what decides, beside capabilities, over what a recorder may do.
type Env struct {
	HasBTF        bool
	UserNamespace bool // we are in one that isn't the kernel's first: our capabilities don't count
	// PerfmonReadsMaps: with CAP_PERFMON one may read the mappings of every
	// process (mm_access in kernel/fork.c, 6.15+).
	PerfmonReadsMaps bool
	PerfParanoid     int // kernel.perf_event_paranoid
	// ParanoidByDebian: the kernel carries the patch of Debian and Ubuntu, with
	// which a level above 2 refuses every event without CAP_SYS_ADMIN. (Debian
	// ships with level 3; newer kernels of Ubuntu may accept CAP_PERFMON.)
	ParanoidByDebian bool
	KptrRestrict     int // kernel.kptr_restrict
}

// Abilities are the things that a recorder does which the kernel may refuse.
type Abilities struct {
	CPU            bool `json:"cpu"`             // sample what runs, with stacks
	OffCPU         bool `json:"offcpu"`          // account each switch of threads
	SideBand       bool `json:"side_band"`       // hear of new processes and mappings
	KernelNames    bool `json:"kernel_names"`    // name kernel frames
	OwnProcesses   bool `json:"own_processes"`   // read the mappings of processes of this user
	OtherProcesses bool `json:"other_processes"` // read those of other users
	OtherFiles     bool `json:"other_files"`     // open their programs that only they may read
	DeletedFiles   bool `json:"deleted_files"`   // open mapped files that were deleted or replaced
}

// Predict says what a process with these effective capabilities will be able
// to do. Being root as such helps with nothing in the list; root's
// capabilities do. Own processes are those of the same user with no more
// capabilities than ours.
func Predict(set caps.Set, env Env) Abilities {
	if env.UserNamespace {
		set = 0
	}
	programs := set.HasAny(caps.BPF, caps.SysAdmin) && set.HasAny(caps.Perfmon, caps.SysAdmin)
	events := env.mayOpenCPUEvents(set)
	others := set.Has(caps.SysPtrace) || env.PerfmonReadsMaps && set.HasAny(caps.Perfmon, caps.SysAdmin)
	return Abilities{
		CPU:            programs && events,
		OffCPU:         programs && env.HasBTF,
		SideBand:       events,
		KernelNames:    programs || env.showsKernelAddresses(set),
		OwnProcesses:   true,
		OtherProcesses: others,
		OtherFiles:     others && set.HasAny(caps.DACReadSearch, caps.DACOverride),
		DeletedFiles:   set.HasAny(caps.CheckpointRestore, caps.SysAdmin),
	}
}

// mayOpenCPUEvents follows perf_event_open in kernel/events/core.c, for events
// of a whole CPU that take in the kernel too: from level 1 on a CPU's events
// want CAP_PERFMON, from level 2 on the kernel's.
func (e Env) mayOpenCPUEvents(set caps.Set) bool {
	if e.UserNamespace {
		set = 0
	}
	if e.ParanoidByDebian && e.PerfParanoid > 2 {
		return set.Has(caps.SysAdmin)
	}
	return e.PerfParanoid <= 0 || set.HasAny(caps.Perfmon, caps.SysAdmin)
}

// showsKernelAddresses follows kallsyms_show_value in kernel/ksyms_common.c.
func (e Env) showsKernelAddresses(set caps.Set) bool {
	if e.KptrRestrict == 0 && e.PerfParanoid <= 1 {
		return true
	}
	return e.KptrRestrict <= 1 && set.Has(caps.Syslog)
}

// Observe tries what Predict foretells. own is a process of this user without
// capabilities above ours; other is one of another user, whose program only
// its owner may read.
func Observe(own, other int) Abilities {
	return Abilities{
		CPU:            can(sampleCPU),
		OffCPU:         can(watchSwitches),
		SideBand:       can(SideBandEvents),
		KernelNames:    can(tellNames.load) || can(KernelAddresses),
		OwnProcesses:   ReadMaps(own) == nil,
		OtherProcesses: ReadMaps(other) == nil,
		OtherFiles:     OpenProgramFile(other) == nil,
		DeletedFiles:   OpenMapFile(own) == nil,
	}
}

func can(probe func() error) bool { return probe() == nil }

// sampleCPU opens the events of cpu mode and loads a program for them.
func sampleCPU() error {
	if err := CPUClockEvents(); err != nil {
		return err
	}
	return perfEvent.load()
}

func watchSwitches() error { return btfSwitch.load() }
