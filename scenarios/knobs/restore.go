// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// A Change is what Restore did about a knob.
type Change struct {
	Knob     string // KIND:NAME
	From, To string // what it was set to, and the original; the same when there was nothing to do
	Note     string // why nothing was set: the knob is gone, the machine was restarted since
}

func (c Change) String() string {
	switch {
	case c.Note != "":
		return c.Knob + ": " + c.Note
	case c.From == c.To:
		return c.Knob + "=" + c.To + " (as it was)"
	}
	return c.Knob + "=" + c.To + " (was left at " + c.From + ")"
}

// Restore puts back what a killed run had changed and removes its journal. No journal is no error; one that a process which lives holds is
// ErrHeld. It may be killed itself, and called again.
func Restore(path string) (changes []Change, err error) {
	j, err := lockJournal(path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.file.Close()) }()
	text, err := j.read()
	if err != nil {
		return nil, err
	}
	h, entries, damage := decodeJournal(text)
	if damage != nil && len(entries) == 0 {
		return nil, j.fail(damage)
	}
	if changes, err = h.putBack(entries); err != nil {
		return changes, j.fail(err)
	}
	if damage != nil {
		return changes, fmt.Errorf("%w; what can be read was put back: set the rest by hand, then remove the file", j.fail(damage))
	}
	return changes, j.remove()
}

// RestoreLeft is for the start of a command: it restores what a killed run left, and says so in a line; "" when there was nothing, or
// when a run is under way.
func RestoreLeft(path string) (string, error) {
	changes, err := Restore(path)
	if errors.Is(err, ErrHeld) {
		return "", nil
	}
	if len(changes) == 0 {
		return "", err
	}
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return "put back what a killed run had changed: " + strings.Join(texts, ", "), err
}

// putBack puts back the entries of a journal if they are of this boot and these namespaces.
func (h header) putBack(entries []entry) ([]Change, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	now, err := newHeader()
	if err != nil {
		return nil, err
	}
	if h.Boot != now.Boot {
		var changes []Change
		for _, e := range entries {
			changes = append(changes, Change{Knob: e.Kind + ":" + e.Name, Note: "the machine was restarted since, which put it back"})
		}
		return changes, nil
	}
	if h.Others != now.Others {
		return nil, fmt.Errorf("it is of a run in other namespaces (%s; here: %s): restore there (nsenter), or remove the file if those are gone", h.Others, now.Others)
	}
	if h.Net != now.Net {
		return putBackElsewhere(h.Net, entries)
	}
	return putBack(machine, entries)
}

// maxPasses is how often the originals are gone through: some values change or bound others, so that not any order will do.
const maxPasses = 4

// putBack puts back originals, the last first, until all are found as they were.
func putBack(at place, entries []entry) ([]Change, error) {
	changes := make([]Change, len(entries))
	for pass := range maxPasses {
		changed := false
		var errs []error
		for i, e := range slices.Backward(entries) {
			c, err := e.putBack(at)
			if err != nil {
				errs = append(errs, err)
			}
			if pass == 0 {
				changes[len(entries)-1-i] = c
			}
			changed = changed || c.From != c.To
		}
		if err := errors.Join(errs...); !changed || pass == maxPasses-1 {
			return changes, err
		}
	}
	return changes, nil
}

// putBack puts back one original, if it isn't there.
func (e entry) putBack(at place) (Change, error) {
	c := Change{Knob: e.Kind + ":" + e.Name}
	k, err := e.knob()
	if err != nil {
		return c, err
	}
	if k.kind.restore != nil {
		if c.Note, err = k.kind.restore(k.Name, e.Original); err != nil {
			return c, fmt.Errorf("%s: %w", k, err)
		}
		return c, nil
	}
	now, err := k.kind.read(at, k.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Note = "it is gone"
		return c, nil
	case err != nil:
		return c, fmt.Errorf("%s: %w", k, err)
	case same(now, e.Original):
		c.From, c.To = e.Original, e.Original
		return c, nil
	}
	c.From, c.To = now, e.Original
	return c, k.set(at, e.Original)
}

// original is what a journal writes down.
func (k *Knob) original() (string, error) {
	if k.kind.original != nil {
		return k.kind.original(k.Name)
	}
	return k.kind.read(machine, k.Name)
}

// newHeader says what boot and which namespaces we are in.
func newHeader() (header, error) {
	boot, err := procSys.read("kernel/random/boot_id")
	if err != nil {
		return header{}, err
	}
	h := header{Journal: journalVersion, Boot: boot, PID: os.Getpid()}
	var others []string
	for _, name := range []string{"net", "ipc", "uts"} {
		space, err := os.Readlink("/proc/thread-self/ns/" + name)
		if err != nil {
			return header{}, err
		}
		others = append(others, space)
	}
	h.Net, h.Others = others[0], strings.Join(others[1:], " ")
	return h, nil
}
