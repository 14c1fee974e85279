// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// A meter reads the kernel's statistics of some eBPF programs. It holds them, so that they can be read after their owner is gone.
type meter []*ebpf.Program

// meterOf finds the programs of a kind that a process has open.
func meterOf(pid int, kind ebpf.ProgramType) (meter, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	var m meter
	seen := map[ebpf.ProgramID]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed since
		}
		id, ok := programID(string(text))
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		if p.Type() != kind {
			err = p.Close()
		} else {
			m = append(m, p)
		}
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("process %d has no %s program", pid, kind)
	}
	return m, nil
}

// programID reads the line "prog_id:" of a file descriptor of an eBPF program (/proc/PID/fdinfo, bpf_prog_show_fdinfo in the kernel).
func programID(fdinfo string) (ebpf.ProgramID, bool) {
	if !strings.Contains(fdinfo, "prog_jited:") {
		return 0, false // a link has the line too
	}
	for line := range strings.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(line, "prog_id:"); ok {
			id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
			return ebpf.ProgramID(id), err == nil
		}
	}
	return 0, false
}

// read sums what the programs have done since they were loaded, while statistics were on.
func (m meter) read() (runs uint64, ran time.Duration, err error) {
	for _, p := range m {
		s, err := p.Stats()
		if err != nil {
			return 0, 0, err
		}
		runs += s.RunCount
		ran += s.Runtime
	}
	return runs, ran, nil
}

func (m meter) close() error {
	var errs []error
	for _, p := range m {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
