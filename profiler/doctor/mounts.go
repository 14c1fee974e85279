// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
)

// mount is a mounted file system.
type mount struct{ point, kind string }

func (h *host) mounts() ([]mount, error) {
	text, err := h.read("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(text)
}

// parseMounts reads /proc/PID/mountinfo, whose lines proc_pid_mountinfo(5)
// describes: the mount point is field 5, and after a lone hyphen comes the
// type. Mount points keep the escapes (\040) that the kernel wrote.
func parseMounts(text string) ([]mount, error) {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 1 {
			return nil, fmt.Errorf("mountinfo: line %q", strings.TrimSpace(line))
		}
		mounts = append(mounts, mount{point: left[4], kind: right[0]})
	}
	return mounts, nil
}
