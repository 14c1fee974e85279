// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"

	"github.com/assaylab/assay/internal/caps"
)

// power is a capability and what it is good for here.
type power struct {
	cap     caps.Cap
	standIn caps.Cap // has the same effect on what we do; 0 for none
	need    Need
	costs   string
}

// powers lists the capabilities that change what a recording holds. Those that
// Assay asks for come first.
var powers = []power{
	{caps.BPF, caps.SysAdmin, Core, "no recording: loading eBPF programs is refused"},
	{caps.Perfmon, caps.SysAdmin, Core, "no recording: perf events of whole CPUs and tracing programs are refused"},
	{caps.SysPtrace, 0, Adds, "programs of other users keep bare addresses: their files can't be opened, nor their mappings read before 6.15"},
	{caps.DACReadSearch, caps.DACOverride, Adds, "programs whose files only their owner may read keep bare addresses"},
	{caps.CheckpointRestore, caps.SysAdmin, Adds, "libraries that were deleted or replaced keep bare addresses"},
	{caps.Syslog, 0, Adds, "frames of kernel modules can't be told from the kernel's own while it hides addresses"},
	{caps.IPCLock, 0, Unused, "nothing: event buffers fit into perf_event_mlock_kb"},
	{caps.SysAdmin, 0, Unused, "nothing: Assay's programs time themselves, without the kernel's meter"},
	{caps.SysResource, 0, Unused, "nothing from 5.11 on: before, locked memory bounded the size of eBPF maps"},
}

// asked are the capabilities that a file of Assay should have.
var asked = []caps.Cap{caps.BPF, caps.Perfmon, caps.SysPtrace, caps.DACReadSearch, caps.CheckpointRestore, caps.Syslog}

func capabilityRows() []row {
	list := make([]row, 0, len(powers))
	for _, p := range powers {
		list = append(list, row{group: "capabilities", name: p.cap.String(), need: p.need, costs: p.costs, look: p.look})
	}
	return list
}

func (p power) look(h *host) finding {
	switch {
	case h.ownUserNamespace():
		return finding{status: Missing, found: "what we have holds in our own user namespace only", fix: outside}
	case h.effective.Has(p.cap):
		return finding{status: OK, found: "effective"}
	case p.standIn != 0 && h.effective.Has(p.standIn):
		return finding{status: OK, found: p.standIn.String() + " stands in for it"}
	}
	return finding{status: Missing, found: "not effective", fix: h.grant(p.cap)}
}

// outside mends what a user namespace takes away.
const outside = "run Assay outside of the user namespace"

// grant tells how to come by a capability: a container or a service has to
// leave it in the bounding set before anything else helps.
func (h *host) grant(c caps.Cap) string {
	short := strings.TrimPrefix(c.String(), "CAP_")
	switch {
	case h.ownUserNamespace():
		return outside
	case !h.bounding.Has(c):
		return "the container or service leaves it out: docker run --cap-add " + short + ", CapabilityBoundingSet= of systemd"
	case h.uid == 0:
		return h.asRoot()
	}
	return "sudo setcap " + fileCapabilities() + " " + h.executable
}

// seeMore is how to look at what could not be looked at.
func (h *host) seeMore() string {
	if h.ownUserNamespace() {
		return outside
	}
	return h.asRoot()
}

func (h *host) asRoot() string { return "sudo " + h.executable }

// fileCapabilities is what setcap(8) wants to hear.
func fileCapabilities() string {
	names := make([]string, 0, len(asked))
	for _, c := range asked {
		names = append(names, strings.ToLower(c.String()))
	}
	return strings.Join(names, ",") + "=ep"
}
