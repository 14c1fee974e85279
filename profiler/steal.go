// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// stealTime is the CPU time that the host of a virtual machine has given to others while a CPU of ours had work, since boot; to
// 10 ms. 0 where nobody tells.
func stealTime() time.Duration {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0
	}
	return time.Duration(stat.CPUTotal.Steal * float64(time.Second))
}

// stealBound is the share of CPU time from which on stolen time is worth a warning.
const stealBound = 0.01

// warnings say what to know before believing the numbers.
func (r *Recorder) warnings() []string {
	all := r.end.Sub(r.start) * time.Duration(r.ncpu)
	share := float64(r.steal) / float64(all)
	if all <= 0 || share < stealBound {
		return nil
	}
	return []string{fmt.Sprintf("the host took %.1f%% of this machine's CPU time (steal): samples and accounts have it as time on the CPU of whoever ran then, "+
		"the kernel's own CPU time has not; record on a quieter host to compare with that", 100*share)}
}
