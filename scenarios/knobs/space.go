// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// SetInside sets knobs, each KIND:NAME=VALUE, in the network namespace of the calling thread. Nothing is written down: it is for a
// namespace that ends with the work.
func SetInside(settings []string) error {
	for _, text := range settings {
		k, err := Parse(text)
		switch {
		case err != nil:
			return err
		case k.kind.perSpace == nil || len(k.Values) != 1:
			return fmt.Errorf("knob %q: want one value for something that belongs to a network namespace", text)
		}
		if err := k.set(space, k.Values[0]); err != nil {
			return err
		}
	}
	return nil
}

// putBackElsewhere puts back the entries of a run in another network namespace, in there. When that can't be found, what was set in it is
// taken to be gone with it.
func putBackElsewhere(net string, entries []entry) (changes []Change, err error) {
	path, err := findNetSpace(net)
	if err != nil {
		return nil, err
	}
	if path != "" {
		err = thread.Do(func() error {
			if err := enter(path); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", net, err)
			}
			changes, err = putBack(space, entries)
			return err
		})
		return changes, err
	}
	var rest []entry
	for _, e := range entries {
		if e.ofNetSpace() {
			note := "no process is in its network namespace (" + net + "), and that has no name in /run/netns: it is gone"
			changes = append(changes, Change{Knob: e.Kind + ":" + e.Name, Note: note})
			continue
		}
		rest = append(rest, e)
	}
	more, err := putBack(machine, rest)
	return append(changes, more...), err
}

// ofNetSpace says whether an entry can only be of a network namespace.
func (e entry) ofNetSpace() bool {
	k, err := e.knob()
	return err == nil && k.kind.perSpace != nil && (k.Kind != sysctlKind.name || strings.HasPrefix(k.Name, "net."))
}

// findNetSpace returns a file of the network namespace with a name such as net:[4026531840], "" if there is none.
func findNetSpace(name string) (string, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return "", err
	}
	for _, path := range processes {
		if link, err := os.Readlink(path); err == nil && link == name { // processes end while we look
			return path, nil
		}
	}
	named, err := os.ReadDir(netSpaces)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, e := range named {
		path := filepath.Join(netSpaces, e.Name())
		var s unix.Stat_t
		if err := unix.Stat(path, &s); err == nil && fmt.Sprintf("net:[%d]", s.Ino) == name {
			return path, nil
		}
	}
	return "", nil
}

// netSpaces has the names of network namespaces, by the convention of ip-netns(8).
const netSpaces = "/run/netns"

// enter moves the thread into a network namespace.
func enter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}
