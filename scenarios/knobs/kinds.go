// SPDX-License-Identifier: Apache-2.0

package knobs

// A place is where a knob applies.
type place int

const (
	machine place = iota // the machine, as this process sees it
	space                // the network namespace of the thread
)

// A kind is a kind of knobs. Functions that it lacks are not needed.
type kind struct {
	name       string
	mayBeEmpty bool
	// checkName and checkValue say what is allowed on any machine, and return the one way to write it.
	checkName  func(name string) (string, error)
	checkValue func(name, value string) (string, error)
	// check says whether this machine has the knob, lets us set it, and allows the value.
	check func(at place, name, value string) error
	read  func(at place, name string) (string, error)
	write func(at place, name, value string) error // nil when it applies to the workload alone
	// original is what a journal writes down before the first change; nil: what is read. checkOriginal says whether it may be one; nil: when
	// it is a value.
	original      func(name string) (string, error)
	checkOriginal func(original string) error
	// restore puts that back and says what it did; nil: it is written.
	restore func(name, original string) (note string, err error)
	// partner names another that changes with it, so that both have to be put back; "" for none.
	partner func(name string) string
	// perSpace says whether each network namespace has a value of its own, and may have all of some values.
	perSpace func(name string, values []string) (bool, error)
	launch   func(name, value string) (Launch, error)
}

var kinds = []kind{affinityKind, cgroupKind, envKind, niceKind, qdiscKind, rpsKind, schedKind, sysctlKind, thpKind, xpsKind}

// Kinds returns the names of all kinds.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}
