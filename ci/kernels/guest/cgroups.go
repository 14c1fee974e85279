// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/scenarios/knobs"
)

// cgroupRoot is where version 2 of control groups is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// groupKnobs are what assay is to set for a workload, with what the kernel then says in which file.
var groupKnobs = []struct{ knob, value, file, want string }{
	{"cgroup:cpu.max=50%", "50%", "cpu.max", "50000 100000"},
	{"cgroup:cpu.weight=300", "300", "cpu.weight", "300"},
	{"cgroup:memory.max=33554432", "33554432", "memory.max", "33554432"},
	{"cgroup:cpuset.cpus=1", "1", "cpuset.cpus", "1"},
}

// controlGroups has assay make a group of version 2, give it all that it can, and take it back.
func controlGroups() (seen observation, err error) {
	if err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+cpu +memory +cpuset"), 0); err != nil {
		return seen, err
	}
	j, err := knobs.OpenJournal("/tmp/knobs/journal")
	if err != nil {
		return seen, err
	}
	err = setGroupKnobs(j)
	if err := errors.Join(err, j.Restore(), j.Close()); err != nil {
		return seen, err
	}
	left, err := filepath.Glob(filepath.Join(cgroupRoot, "assay-*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left behind: %s", left)
	}
	return observation{detail: fmt.Sprintf("%d set and put back", len(groupKnobs))}, err
}

func setGroupKnobs(j *knobs.Journal) error {
	for _, g := range groupKnobs {
		k, err := knobs.Parse(g.knob)
		if err != nil {
			return err
		}
		if err := j.Set(k, g.value); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(cgroupRoot, fmt.Sprintf("assay-%d", os.Getpid()), g.file))
		if err != nil {
			return err
		}
		if said := strings.TrimSpace(string(text)); said != g.want {
			return fmt.Errorf("%s: the kernel says %q, want %q", g.knob, said, g.want)
		}
	}
	return nil
}
