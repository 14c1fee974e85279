// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// cgroupKind is what the control group of the workload gives it, by the names that version 2 has; where version 1 is mounted the same is
// set by other files. The group is ours, so what a journal writes down is its folder, and to restore is to remove that.
var cgroupKind = kind{
	name: "cgroup",
	checkName: func(name string) (string, error) {
		_, err := findControl(name)
		return name, err
	},
	checkValue: func(name, value string) (string, error) {
		c, err := findControl(name)
		if err != nil {
			return "", err
		}
		return c.check(value)
	},
	check:    checkCgroup,
	read:     func(_ place, name string) (string, error) { return readCgroup(name) },
	write:    func(_ place, name, value string) error { return writeCgroup(name, value) },
	original: groupOf, checkOriginal: checkGroup, restore: removeGroup,
	launch: func(name, _ string) (Launch, error) {
		folder, err := groupOf(name)
		return Launch{Cgroups: []string{folder}}, err
	},
}

// A hierarchy is where control groups with a controller are.
type hierarchy struct {
	unified bool   // version 2
	own     string // folder of the group that we are in
	parent  string // folder for groups that we make
}

// findHierarchy looks for a controller in version 1, then in version 2.
func findHierarchy(controller string) (h hierarchy, err error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return h, err
	}
	self, err := procfs.Self()
	if err != nil {
		return h, err
	}
	groups, err := self.Cgroups()
	if err != nil {
		return h, err
	}
	for _, unified := range []bool{false, true} {
		for _, m := range mounts {
			_, has := m.SuperOptions[controller]
			if m.FSType != "cgroup" && !unified || m.FSType != "cgroup2" && unified || !has && !unified {
				continue
			}
			h, err := newHierarchy(m, groups, controller, unified)
			if err != nil || h.parent != "" {
				return h, err
			}
		}
	}
	return h, fmt.Errorf("no control groups with the controller %s are mounted here", controller)
}

// newHierarchy finds the folders in a mount; it returns none when the controller of version 2 is of version 1 here.
func newHierarchy(m *procfs.MountInfo, groups []procfs.Cgroup, controller string, unified bool) (hierarchy, error) {
	h := hierarchy{unified: unified}
	i := slices.IndexFunc(groups, func(g procfs.Cgroup) bool {
		return unified && g.HierarchyID == 0 || !unified && slices.Contains(g.Controllers, controller)
	})
	if i < 0 {
		return h, nil
	}
	below, err := filepath.Rel(m.Root, groups[i].Path)
	if err != nil || strings.HasPrefix(below, "..") { // a container that sees the host's groups
		below = "."
	}
	h.own = filepath.Join(m.MountPoint, below)
	if !unified {
		h.parent = h.own
		return h, nil
	}
	// A group of version 2 that has processes can't have groups with controllers in it, other than the root.
	parent := h.own
	if parent != m.MountPoint {
		parent = filepath.Dir(parent)
	}
	offered, err := tree(parent).read("cgroup.controllers")
	if err != nil || !slices.Contains(strings.Fields(offered), controller) {
		return h, err
	}
	given, err := tree(parent).read("cgroup.subtree_control")
	if err == nil && !slices.Contains(strings.Fields(given), controller) {
		err = fmt.Errorf("%s gives its groups no %s controller: echo +%s > %s/cgroup.subtree_control", parent, controller, controller, parent)
	}
	h.parent = parent
	return h, err
}

var groupName = lazyregexp.New(`^assay-[1-9][0-9]*$`)

// groupOf returns the folder of the group that this process makes for a knob.
func groupOf(name string) (string, error) {
	c, err := findControl(name)
	if err != nil {
		return "", err
	}
	h, err := findHierarchy(c.controller)
	return filepath.Join(h.parent, fmt.Sprintf("assay-%d", os.Getpid())), err
}

func checkCgroup(_ place, name, value string) error {
	c, err := findControl(name)
	if err != nil {
		return err
	}
	h, err := findHierarchy(c.controller)
	if err != nil {
		return err
	}
	if unix.Access(h.parent, unix.W_OK) != nil {
		return fmt.Errorf("no control group can be made in %s: use sudo, or a machine where it is not read-only", h.parent)
	}
	if c.controller == "cpuset" {
		return checkCPUs(value)
	}
	return nil
}

// readCgroup reads what our group has, or before there is one, what a workload gets from the group that we are in.
func readCgroup(name string) (string, error) {
	c, err := findControl(name)
	if err != nil {
		return "", err
	}
	h, err := findHierarchy(c.controller)
	if err != nil {
		return "", err
	}
	folder, err := groupOf(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		folder = h.own
	}
	return c.decode(tree(folder).read, h.unified)
}

// writeCgroup makes the group if there is none yet, and sets something.
func writeCgroup(name, value string) error {
	c, err := findControl(name)
	if err != nil {
		return err
	}
	h, err := findHierarchy(c.controller)
	if err != nil {
		return err
	}
	folder, err := groupOf(name)
	if err != nil {
		return err
	}
	if err := makeGroup(h, folder, c.controller); err != nil {
		return err
	}
	for _, setting := range c.encode(value, h.unified) {
		if err := tree(folder).write(setting[0], setting[1]); err != nil {
			return err
		}
	}
	return nil
}

func makeGroup(h hierarchy, folder, controller string) error {
	err := os.Mkdir(folder, 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if h.unified || controller != "cpuset" {
		return nil
	}
	for _, file := range []string{"cpuset.mems", "cpuset.cpus"} { // a new group of version 1 has neither, and takes no process without
		value, err := tree(h.parent).read(file)
		if err != nil {
			return err
		}
		if err := tree(folder).write(file, value); err != nil {
			return err
		}
	}
	return nil
}

// How often it is tried to remove a group, and how long between: processes that end are in it for a moment more.
const (
	removeTries = 100
	removePause = 10 * time.Millisecond
)

// checkGroup wants a folder that can only be a group of ours: removing it takes no more than rmdir.
func checkGroup(folder string) error {
	if len(folder) > maxValue || !groupName().MatchString(filepath.Base(folder)) || filepath.Clean(folder) != folder || !filepath.IsAbs(folder) {
		return fmt.Errorf("%.40q is no control group of ours", folder)
	}
	return nil
}

// removeGroup removes a group of ours or of a killed run. What still runs in it is moved to the group that we are in.
func removeGroup(name, folder string) (note string, err error) {
	c, err := findControl(name)
	if err != nil {
		return "", err
	}
	for range removeTries {
		err = unix.Rmdir(folder)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		h, err := findHierarchy(c.controller)
		if err != nil {
			return "", err
		}
		if err := moveTasks(h, folder); err != nil {
			return "", err
		}
		time.Sleep(removePause)
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return "its group is gone", nil
	case err != nil:
		return "", fmt.Errorf("remove %s: %w", folder, err)
	}
	return "removed " + folder, nil
}

// moveTasks moves all that runs in a group to the one that we are in.
func moveTasks(h hierarchy, folder string) error {
	file := "tasks"
	if h.unified {
		file = "cgroup.procs"
	}
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return err
	}
	for _, id := range strings.Fields(string(text)) {
		if err := tree(h.own).write(file, id); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("move process %s to %s: %w", id, h.own, err)
		}
	}
	return nil
}
