// SPDX-License-Identifier: Apache-2.0

// Package target finds what is to be recorded: processes, their descendants, cgroups, and the PID namespace that their numbers are of.
package target

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ThreadGroup is the process that a PID, or the ID of any of its threads, belongs to.
func ThreadGroup(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("no process %d is running", pid)
	}
	return strconv.Atoi(StatusField(b, "Tgid"))
}

// Descendants are the children that a process has now, and theirs.
func Descendants(pid int) ([]int, error) {
	children, err := childrenByParent()
	if err != nil {
		return nil, err
	}
	return below(children, children[pid]), nil
}

// kthreadd is the parent of all kernel threads.
const kthreadd = 2

// Processes are all that run now, without kernel threads.
func Processes() ([]int, error) {
	children, err := childrenByParent()
	if err != nil {
		return nil, err
	}
	return below(children, slices.DeleteFunc(children[0], func(pid int) bool { return pid == kthreadd })), nil
}

// below are the first processes and all their descendants.
func below(children map[int][]int, first []int) []int {
	var all []int
	seen := map[int]bool{}
	for queue := first; len(queue) > 0; queue = queue[1:] {
		child := queue[0]
		if seen[child] {
			continue
		}
		seen[child] = true
		all = append(all, child)
		queue = append(queue, children[child]...)
	}
	return all
}

func childrenByParent() (map[int][]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range dirs {
		b, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // ended meanwhile
		}
		pid, err1 := strconv.Atoi(filepath.Base(dir))
		parent, err2 := strconv.Atoi(StatusField(b, "PPid"))
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// StatusField is the value of a field of a /proc/PID/status, "" if it isn't there.
func StatusField(status []byte, name string) string {
	for _, line := range bytes.Split(status, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return strings.TrimSpace(string(rest))
		}
	}
	return ""
}

// ExitCode is the status that a shell would give: 128 and the signal for one that a signal ended.
func ExitCode(s *os.ProcessState) int {
	if s == nil {
		return 1
	}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
