// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"maps"

	"github.com/prometheus/procfs"
)

// counters are what the kernel counts of the whole machine, by name; the unit is at the end of the name.
type counters map[string]float64

// readCounters reads what this kernel has; what it lacks, such as PSI, is left out.
func readCounters() (counters, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	stat, err := fs.Stat()
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	cpu := stat.CPUTotal
	c := counters{
		"machine_user_s": cpu.User + cpu.Nice, "machine_system_s": cpu.System, "machine_idle_s": cpu.Idle + cpu.Iowait,
		"machine_irq_s": cpu.IRQ, "machine_softirq_s": cpu.SoftIRQ, "machine_steal_s": cpu.Steal,
		"machine_switches_count": float64(stat.ContextSwitches), "machine_interrupts_count": float64(stat.IRQTotal),
		"machine_forks_count": float64(stat.ProcessCreated),
	}
	soft := stat.SoftIRQ
	for kind, count := range map[string]uint64{
		"hi": soft.Hi, "timer": soft.Timer, "net_tx": soft.NetTx, "net_rx": soft.NetRx, "block": soft.Block, "irq_poll": soft.BlockIoPoll,
		"tasklet": soft.Tasklet, "sched": soft.Sched, "hrtimer": soft.Hrtimer, "rcu": soft.Rcu,
	} {
		c["machine_softirq_"+kind+"_count"] = float64(count)
	}
	maps.Copy(c, softnetCounters(fs))
	maps.Copy(c, pressure(fs))
	return c, nil
}

// softnetCounters are of packets on their way up, of all CPUs: those dropped because the backlog of a CPU was full, and how often a CPU had to leave
// packets for later.
func softnetCounters(fs procfs.FS) counters {
	c := counters{}
	softnet, err := fs.NetSoftnetStat()
	if err != nil {
		return c
	}
	for _, s := range softnet {
		c["softnet_dropped_count"] += float64(s.Dropped)
		c["softnet_squeezed_count"] += float64(s.TimeSqueezed)
	}
	return c
}

// pressure is how long something ("some"), or all that could have run ("full"), waited for a resource, where the kernel keeps book of that (PSI).
func pressure(fs procfs.FS) counters {
	c := counters{}
	for _, resource := range []string{"cpu", "io", "memory"} {
		psi, err := fs.PSIStatsForResource(resource)
		if err != nil {
			continue
		}
		for name, line := range map[string]*procfs.PSILine{"some": psi.Some, "full": psi.Full} {
			if line != nil {
				c["psi_"+resource+"_"+name+"_s"] = float64(line.Total) / 1e6
			}
		}
	}
	return c
}

// counters are those of a workload's process and the children that it waited for.
func (u usage) counters() counters {
	return counters{
		"workload_user_s": float64(u.UserNS) / 1e9, "workload_system_s": float64(u.SystemNS) / 1e9,
		"workload_voluntary_switches_count": float64(u.Voluntary), "workload_involuntary_switches_count": float64(u.Involuntary),
		"workload_minor_faults_count": float64(u.MinorFaults), "workload_major_faults_count": float64(u.MajorFaults),
	}
}

// since is what was added to each counter.
func (c counters) since(before counters) counters {
	gained := counters{}
	for name, value := range c {
		if old, ok := before[name]; ok {
			gained[name] = value - old
		}
	}
	return gained
}
