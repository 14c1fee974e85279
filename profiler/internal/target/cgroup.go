// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Cgroup is how the kernel side knows a cgroup: the ID of its folder, and, for v1, which of a task's
// hierarchies it is in (-1: v2).
type Cgroup struct {
	ID     uint64
	Subsys int
}

// FindCgroup finds the cgroup of a folder.
func FindCgroup(path string) (Cgroup, error) {
	var t Cgroup
	abs, err := filepath.Abs(path)
	if err != nil {
		return t, err
	}
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Stat(abs, &st); err != nil {
		return t, fmt.Errorf("cgroup %s: %w", path, err)
	}
	if err := unix.Statfs(abs, &fs); err != nil {
		return t, fmt.Errorf("cgroup %s: %w", path, err)
	}
	t.ID = st.Ino
	switch fs.Type {
	case unix.CGROUP2_SUPER_MAGIC:
		t.Subsys = -1
		return t, nil
	case unix.CGROUP_SUPER_MAGIC:
		t.Subsys, err = subsysOf(abs)
		return t, err
	}
	return t, fmt.Errorf("cgroup %s: not a folder of a cgroup file system (look under /sys/fs/cgroup)", path)
}

// subsysOf finds a controller of the v1 hierarchy that a folder is in, and its index among those of the running kernel.
func subsysOf(path string) (int, error) {
	controllers, err := v1Controllers(path)
	if err != nil {
		return 0, err
	}
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("kernel types: %w", err)
	}
	var enum *btf.Enum
	if err := types.TypeByName("cgroup_subsys_id", &enum); err != nil {
		return 0, fmt.Errorf("cgroup controllers: %w", err)
	}
	for _, v := range enum.Values {
		for _, c := range controllers {
			if v.Name == c+"_cgrp_id" {
				return int(v.Value), nil
			}
		}
	}
	return 0, fmt.Errorf("cgroup %s: its hierarchy has no controller, so threads can't be matched with it; give the same group under another hierarchy", path)
}

// v1Controllers are the mount options of the hierarchy that holds path, by the names that BTF uses.
func v1Controllers(path string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mounts: %w", err)
	}
	best, options := "", ""
	for _, line := range strings.Split(string(b), "\n") {
		// id parent dev root mountpoint options… - type source superoptions
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 || g[0] != "cgroup" {
			continue
		}
		if within(path, f[4]) && len(f[4]) > len(best) {
			best, options = f[4], g[2]
		}
	}
	return strings.Split(options, ","), nil
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
