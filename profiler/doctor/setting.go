// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/assaylab/assay/internal/caps"
)

// setting is a number in /proc/sys/kernel and how to judge it.
type setting struct {
	name  string
	need  Need
	costs string
	value int // what the fix sets
	judge func(h *host, value int) finding
}

var settings = []setting{
	{
		"perf_event_paranoid", Core, "no perf events, so no cpu mode and nothing that follows processes", 2, judgeParanoid,
	},
	{
		"perf_event_max_sample_rate", Adds, "higher sampling frequencies are refused; the kernel lowers this itself when sampling takes long", 100000,
		func(_ *host, v int) finding {
			return atLeast(v, 1000, fmt.Sprintf("%d samples a second and CPU at most", v))
		},
	},
	{
		"perf_cpu_time_max_percent", Adds, "the kernel throttles sampling early, so samples are lost", 25,
		func(_ *host, v int) finding {
			if v == 0 {
				return finding{status: OK, found: "0: sampling is never slowed down"}
			}
			return atLeast(v, 25, fmt.Sprintf("sampling is slowed down beyond %d%% of a CPU", v))
		},
	},
	{
		"perf_event_mlock_kb", Adds, "event buffers stay small, so bursts of new processes can be lost", 516,
		func(h *host, v int) finding {
			if h.effective.Has(caps.IPCLock) {
				return finding{status: OK, found: fmt.Sprintf("%d, which CAP_IPC_LOCK lifts", v)}
			}
			return atLeast(v, 516, fmt.Sprintf("event buffers of %d KiB a CPU", v))
		},
	},
	{
		"kptr_restrict", Adds, "kernel addresses are hidden from everyone: frames of modules can't be told from the kernel's own", 1,
		func(_ *host, v int) finding {
			if v > 1 {
				return finding{status: Degraded, found: fmt.Sprintf("%d: hidden from everyone", v)}
			}
			return finding{status: OK, found: fmt.Sprintf("%d: shown to those with CAP_SYSLOG", v)}
		},
	},
	{
		"unprivileged_bpf_disabled", Unused, "nothing: tracing wants CAP_BPF and CAP_PERFMON in any case", 2,
		func(_ *host, v int) finding {
			if v == 0 {
				return finding{status: OK, found: "0: users may load some programs without CAP_BPF"}
			}
			return finding{status: OK, found: fmt.Sprintf("%d: programs want CAP_BPF", v)}
		},
	},
}

func settingRows() []row {
	list := make([]row, 0, len(settings))
	for _, s := range settings {
		list = append(list, row{
			group: "settings", name: s.name, need: s.need, costs: s.costs, look: s.look,
			fix: fmt.Sprintf("sudo sysctl kernel.%s=%d", s.name, s.value),
		})
	}
	return list
}

func (s setting) look(h *host) finding {
	v, err := h.number("/proc/sys/kernel/" + s.name)
	if err != nil {
		return unknown(err)
	}
	return s.judge(h, v)
}

func atLeast(value, enough int, found string) finding {
	if value < enough {
		return finding{status: Degraded, found: found}
	}
	return finding{status: OK, found: found}
}

// judgeParanoid believes events that open, and explains by the rules that
// Predict knows why they don't.
func judgeParanoid(h *host, value int) finding {
	switch {
	case h.opensEvents() == nil:
		return finding{status: OK, found: fmt.Sprintf("%d: our capabilities are enough", value)}
	case value > 2 && h.debianRestricts():
		return finding{status: Missing, found: fmt.Sprintf("%d: this kernel of Debian or Ubuntu wants CAP_SYS_ADMIN above 2", value)}
	case h.env().mayOpenCPUEvents(h.effective):
		return finding{status: Missing, found: fmt.Sprintf("%d: that should do, yet events don't open", value), fix: refused}
	}
	return finding{status: Missing, found: fmt.Sprintf("%d: events of whole CPUs want CAP_PERFMON", value), fix: h.grant(caps.Perfmon)}
}
