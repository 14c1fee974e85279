// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// onlineCPUs tells which CPUs run threads now. It holds the file that says so, as it is read again and again.
type onlineCPUs struct{ file *os.File }

func openOnlineCPUs() (*onlineCPUs, error) {
	f, err := os.Open("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, fmt.Errorf("online CPUs: %w", err)
	}
	return &onlineCPUs{f}, nil
}

// list returns at least one CPU.
func (o *onlineCPUs) list() ([]int, error) {
	var text [4096]byte // a page is all that the kernel gives
	n, err := o.file.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("online CPUs: %w", err)
	}
	return parseCPUList(strings.TrimSpace(string(text[:n])))
}

func (o *onlineCPUs) close() error { return o.file.Close() }

// parseCPUList reads the kernel's list format: "0-3,7".
func parseCPUList(s string) ([]int, error) {
	var cpus []int
	for _, part := range strings.Split(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("CPU list %q: %w", s, err)
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(last); err != nil {
				return nil, fmt.Errorf("CPU list %q: %w", s, err)
			}
		}
		if b-a > 1<<16 {
			return nil, fmt.Errorf("CPU list %q: range too long", s)
		}
		for c := a; c <= b; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
