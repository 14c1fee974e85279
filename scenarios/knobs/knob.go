// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// Bounds of what a knob says.
const (
	maxName   = 256
	maxValue  = 1024
	maxValues = 64
)

// A Knob is something to be tuned.
type Knob struct {
	Kind   string   // sysctl, env, …: see [Kinds]
	Name   string   // within the kind, in one way to write it
	Values []string // those to try, in order, each once; in one way to write them where that is known without the machine

	kind *kind
	// inSpace runs a function in a network namespace like those that the workload makes, when the knob applies in there; otherwise it is nil.
	inSpace func(f func() error) error
}

// Parse reads KIND:NAME=VALUE,VALUE…, such as sysctl:net.core.somaxconn=128,4096 or env:GOGC=50,100,200. When there is a ; among the
// values they are between those, so that a value may have a comma: affinity:workload=0;0,2. It does not look at the machine.
func Parse(text string) (*Knob, error) {
	k, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("knob %.80q: %w", text, err)
	}
	return k, nil
}

func parse(text string) (*Knob, error) {
	what, values, ok := strings.Cut(text, "=")
	kind, name, named := strings.Cut(what, ":")
	if !ok || !named {
		return nil, errors.New("want KIND:NAME=VALUE,VALUE…, such as sysctl:net.core.somaxconn=128,4096")
	}
	k, err := newKnob(kind, name)
	if err != nil {
		return nil, err
	}
	separator := ","
	if strings.Contains(values, ";") {
		separator = ";"
	}
	for value := range strings.SplitSeq(values, separator) {
		if value, err = k.canonical(value); err != nil {
			return nil, err
		}
		if slices.Contains(k.Values, value) {
			return nil, fmt.Errorf("value %q: want it once", value)
		}
		if k.Values = append(k.Values, value); len(k.Values) > maxValues {
			return nil, fmt.Errorf("more than %d values", maxValues)
		}
	}
	return k, nil
}

// newKnob finds the kind and checks the name.
func newKnob(kindName, name string) (*Knob, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == kindName })
	if i < 0 {
		return nil, fmt.Errorf("there is no kind %.40q of knobs; %s", kindName, nearest.Want(kindName, Kinds()))
	}
	k := &Knob{Kind: kindName, kind: &kinds[i]}
	err := checkText(name, maxName)
	if err == nil {
		k.Name, err = k.kind.checkName(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%.80s: %w", kindName, name, err)
	}
	return k, nil
}

// checkText wants printable text on one line.
func checkText(text string, most int) error {
	switch {
	case text == "":
		return errors.New("the name is empty")
	case len(text) > most:
		return fmt.Errorf("%d bytes are too many; want at most %d", len(text), most)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("want printable text")
	}
	return nil
}

// canonical checks a value without looking at the machine, and returns it in the one way to write it.
func (k *Knob) canonical(value string) (string, error) {
	value = strings.Join(strings.Fields(value), " ") // lists have tabs in the kernel's files
	if value == "" && !k.kind.mayBeEmpty {
		return "", errors.New("a value is empty")
	}
	if value != "" {
		if err := checkText(value, maxValue); err != nil {
			return "", fmt.Errorf("value %.40q: %w", value, err)
		}
	}
	canonical, err := k.kind.checkValue(k.Name, value)
	if err != nil {
		return "", fmt.Errorf("value %.40q: %w", value, err)
	}
	return canonical, nil
}

// String returns KIND:NAME.
func (k *Knob) String() string { return k.Kind + ":" + k.Name }

// For says for which kind of work the knob is, which decides where it applies, and checks that it is there, can be set, and allows its
// values. Without it a knob is for any work on the machine itself.
func (k *Knob) For(work *scenarios.Kind) error {
	k.inSpace = nil
	if work.InSpace != nil && k.kind.perSpace != nil {
		inside := false
		err := work.InSpace(func() (err error) {
			inside, err = k.kind.perSpace(k.Name, k.Values)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		if inside {
			k.inSpace = work.InSpace
		}
	}
	return k.where(k.check)
}

// check looks at the knob and its values in a place. What ends with the place is set there for a try; on the machine nothing is.
func (k *Knob) check(at place) error {
	for _, value := range k.Values {
		if k.kind.check == nil {
			break
		}
		if err := k.kind.check(at, k.Name, value); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	if at == machine {
		return nil
	}
	for _, value := range k.Values {
		if err := k.set(at, value); err != nil {
			return err
		}
	}
	return nil
}

// OfWorkload says whether the knob applies to the workload alone: then [Knob.Start] is all that sets it, and no journal is needed.
func (k *Knob) OfWorkload() bool { return k.inSpace != nil || k.kind.write == nil }

// Start says how to start a workload with a value. It is needed for all knobs: those that a [Journal] has set may need it too (a control
// group), others have nothing to add.
func (k *Knob) Start(value string) (Launch, error) {
	value, err := k.canonical(value)
	if err != nil {
		return Launch{}, fmt.Errorf("%s: %w", k, err)
	}
	switch {
	case k.inSpace != nil:
		return Launch{Inside: []string{k.String() + "=" + value}}, nil
	case k.kind.launch == nil:
		return Launch{}, nil
	}
	l, err := k.kind.launch(k.Name, value)
	if err != nil {
		return Launch{}, fmt.Errorf("%s=%s: %w", k, value, err)
	}
	return l, nil
}

// Read returns what is set now, or what a workload that is started without this knob has.
func (k *Knob) Read() (value string, err error) {
	err = k.where(func(at place) error {
		value, err = k.kind.read(at, k.Name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", k, err)
	}
	return value, nil
}

// where runs f where the knob applies.
func (k *Knob) where(f func(place) error) error {
	if k.inSpace != nil {
		return k.inSpace(func() error { return f(space) })
	}
	return f(machine)
}

// set changes the value, and makes sure that it took.
func (k *Knob) set(at place, value string) error {
	if err := k.kind.write(at, k.Name, value); err != nil {
		return fmt.Errorf("set %s=%s: %w", k, value, err)
	}
	got, err := k.kind.read(at, k.Name)
	if err != nil {
		return fmt.Errorf("read %s after setting it: %w", k, err)
	}
	if !same(got, value) {
		return fmt.Errorf("%s: asked %s, the kernel took %s", k, value, got)
	}
	return nil
}
