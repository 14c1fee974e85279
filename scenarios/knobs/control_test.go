// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

// TestControls writes each value in the files of both versions, and reads it back.
func TestControls(t *testing.T) {
	values := map[string][]string{"cpu.max": {"max", "1%", "50%", "250%"}, "cpuset.cpus": {"0", "0-1,3"}}
	for weight := 1; weight <= maxWeight; weight++ {
		values["cpu.weight"] = append(values["cpu.weight"], strconv.Itoa(weight))
	}
	for _, c := range controls {
		for _, unified := range []bool{false, true} {
			for _, value := range values[c.name] {
				files := map[string]string{}
				for _, s := range c.encode(value, unified) {
					files[s[0]] = s[1]
				}
				files["cpuset.cpus.effective"] = files["cpuset.cpus"]
				got, err := c.decode(func(file string) (string, error) { return files[file], nil }, unified)
				if err != nil || got != value {
					t.Errorf("%s=%s, version 2 %v: %q reads %q, %v", c.name, value, unified, files, got, err)
				}
			}
		}
	}
}

// TestQuotaForms has what the kernel's documentation says: a quota and a period in µs, cgroup-v2.rst and sched-bwc.rst.
func TestQuotaForms(t *testing.T) {
	for _, c := range []struct {
		unified bool
		files   map[string]string
		want    string
	}{
		{true, map[string]string{"cpu.max": "max 100000"}, "max"},
		{true, map[string]string{"cpu.max": "20000 50000"}, "40%"},
		{false, map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, "max"},
		{false, map[string]string{"cpu.cfs_quota_us": "1000", "cpu.cfs_period_us": "250000"}, "0.4%"},
		{true, nil, "max"}, // the root has no such file
	} {
		got, err := decodeQuota(func(file string) (string, error) {
			text, ok := c.files[file]
			if !ok {
				return "", fs.ErrNotExist
			}
			return text, nil
		}, c.unified)
		if err != nil || got != c.want {
			t.Errorf("%v: %q, %v; want %q", c.files, got, err, c.want)
		}
	}
}

// TestUnified finds where groups of version 2 can be made: beside ours, or in the root, when those above give the controller to them.
func TestUnified(t *testing.T) {
	for _, c := range []struct {
		name         string
		own          string // our group
		offered      string // by the kernel, to what is above
		given        string
		parent       string
		wrong        string
		rootOfMounts string
	}{
		{"root", "/", "cpuset cpu", "cpu", "", "", "/"},
		{"in a scope", "/user.slice/a.scope", "cpu", "cpu", "/user.slice", "", "/"},
		{"of version 1", "/user.slice/a.scope", "memory", "memory", "-", "", "/"},
		{"not given", "/user.slice/a.scope", "cpu", "memory", "", "/user.slice gives its groups no cpu controller: echo +cpu >", "/"},
		{"in a container", "/docker/x", "cpu", "cpu", "", "", "/docker/x"},
		{"outside of the mount", "/", "cpu", "cpu", "", "", "/docker/x"},
	} {
		mount := t.TempDir()
		for _, folder := range []string{"", "user.slice", "user.slice/a.scope"} {
			folder = filepath.Join(mount, folder)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"cgroup.controllers": c.offered, "cgroup.subtree_control": c.given} {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		h, err := newHierarchy(&procfs.MountInfo{Root: c.rootOfMounts, MountPoint: mount}, []procfs.Cgroup{{Path: c.own}}, "cpu", true)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v; want %q", c.name, err, c.wrong)
			}
			continue
		}
		want := filepath.Join(mount, c.parent)
		if c.parent == "-" {
			want = ""
		}
		if err != nil || h.parent != want {
			t.Errorf("%s: %q, %v; want %q", c.name, h.parent, err, want)
		}
	}
}
