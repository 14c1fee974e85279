// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// readCgroup is the path of a process' cgroup: that of v2 if it is in one below the root, otherwise the longest of the v1
// hierarchies. "" when the process is gone.
func readCgroup(pid int) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	best := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// hierarchy:controllers:path
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[2] != "/" {
			return parts[2]
		}
		if len(parts[2]) > len(best) {
			best = parts[2]
		}
	}
	return best
}

// A container's ID is the last run of 64 hexadecimal digits in its cgroup's path: Docker, containerd, CRI-O and Podman all put it
// there, with different words around it.
var containerID = lazyregexp.New(`[0-9a-f]{64}`)

func containerOf(cgroup string) string {
	ids := containerID().FindAllString(cgroup, -1)
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1]
}
