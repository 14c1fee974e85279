// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// maxCPUs is more than the largest NR_CPUS that a kernel can be built with.
const maxCPUs = 1 << 14

// parseCPUs reads a list such as "0-3,8".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for span := range strings.SplitSeq(list, ",") {
		first, last, found := strings.Cut(span, "-")
		if !found {
			last = first
		}
		low, err := strconv.ParseUint(first, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("list of CPUs %q: %w", list, err)
		}
		high, err := strconv.ParseUint(last, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("list of CPUs %q: %w", list, err)
		}
		if high < low || high >= maxCPUs || len(cpus) >= maxCPUs {
			return nil, fmt.Errorf("list of CPUs %q: %s is not a range of CPUs", list, span)
		}
		for cpu := low; cpu <= high; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, nil
}

// onlineCPUs lists the CPUs that are on line.
func (h *host) onlineCPUs() ([]int, error) {
	list, err := h.read("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return parseCPUs(list)
}

// onEachCPU tries something on each CPU that is on line, up to the first
// refusal.
func onEachCPU(try func(cpu int) error) error {
	cpus, err := new(host).onlineCPUs()
	if err != nil {
		return err
	}
	for _, cpu := range cpus {
		if err := try(cpu); err != nil {
			return err
		}
	}
	return nil
}
