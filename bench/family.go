// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// killRounds bounds how often descendants are looked for: what is killed may just have started another.
const killRounds = 100

// adopt makes this process the parent of orphans among its descendants, so that a daemon that has left its parents and its process group is
// found all the same.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// killDescendants kills all that descends from a process which has adopted its orphans, but not the process.
func killDescendants(pid int) error {
	for range killRounds {
		family, err := descendants(pid)
		if err != nil || len(family) == 0 {
			return err
		}
		for _, child := range family {
			if err := unix.Kill(child, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d of the workload: %w", child, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("workload: after %d rounds of killing there still are processes of it", killRounds)
}

// descendants lists the processes below one that still run.
func descendants(pid int) ([]int, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	dead := map[int]bool{}
	for _, p := range all {
		s, err := p.Stat()
		if err != nil {
			continue // it has just ended
		}
		children[s.PPID] = append(children[s.PPID], s.PID)
		dead[s.PID] = s.State == "Z" || s.State == "X"
	}
	family := []int{pid}
	for i := 0; i < len(family) && len(family) <= len(all); i++ {
		family = append(family, children[family[i]]...)
	}
	return slices.DeleteFunc(family[1:], func(p int) bool { return dead[p] }), nil
}
