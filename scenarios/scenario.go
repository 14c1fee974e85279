// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assaylab/assay/scenarios/internal/cpulist"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// A Scenario is a kind of work with its parameters, and how it is to be measured. [Parse] makes one of YAML, [New] one of a kind;
// both have passed [Scenario.Check].
type Scenario struct {
	Name      string // of a-z, 0-9 and -
	About     string // what it stands for, in one line
	Kind      *Kind
	Params    map[string]string // those that were given; the others have their defaults
	Warmup    time.Duration     // work before each measurement
	Duration  time.Duration     // of each measurement
	Primary   string            // metric that decides
	Isolation Isolation
	SLOs      []SLO
}

// Isolation says what the workload gets for itself.
type Isolation struct {
	CPUs []int // where it may run, ascending; none: anywhere
	// What it may use at most, in a control group of its own.
	CPULimit    string // such as 150%, of one CPU; "": no limit
	MemoryLimit int64  // bytes; 0: no limit
}

// Limited says whether the workload is to have a control group of its own, which takes root.
func (i Isolation) Limited() bool { return i.CPULimit != "" || i.MemoryLimit > 0 }

// fields are what is said of the isolation, as a scenario says it, in the order of isolationFields.
func (i Isolation) fields() []string {
	memory := ""
	if i.MemoryLimit > 0 {
		memory = strconv.FormatInt(i.MemoryLimit, 10)
	}
	return []string{cpulist.Format(i.CPUs), i.CPULimit, memory}
}

// What a scenario has that doesn't say it.
const (
	defaultWarmup   = 300 * time.Millisecond
	defaultDuration = time.Second
	defaultPrimary  = "throughput"
)

// New returns a scenario of a kind with all defaults. Some kinds have parameters that must be given (the command of load/exec), and until
// then [Scenario.Check] fails.
func New(k *Kind) *Scenario {
	return &Scenario{
		Name: strings.ReplaceAll(k.Name, "/", "-"), About: k.About, Kind: k,
		Warmup: defaultWarmup, Duration: defaultDuration, Primary: defaultPrimary,
	}
}

// Check returns all parameters, those not given with their defaults, or says what is wrong with one or with several together.
func (s *Scenario) Check() (Values, error) {
	values, err := s.Kind.Check(s.Params)
	if err != nil {
		return nil, err
	}
	if _, err := s.Kind.New(values); err != nil {
		return nil, err
	}
	return values, nil
}

// CheckWith says what would be wrong with other values of some parameters.
func (s *Scenario) CheckWith(params map[string]string) error {
	changed := *s
	changed.Params = maps.Clone(s.Params)
	if changed.Params == nil {
		changed.Params = map[string]string{}
	}
	maps.Copy(changed.Params, params)
	_, err := changed.Check()
	return err
}

// Override returns a copy with changes, each KEY=VALUE: a parameter of the kind, or warmup, duration, primary or cpus. The scenario itself
// stays as it is. An error names the change and says what was expected.
func (s *Scenario) Override(set []string) (*Scenario, error) {
	changed := *s
	changed.Params = maps.Clone(s.Params)
	given := map[string]bool{}
	for _, text := range set {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case !ok || key == "":
			return nil, fmt.Errorf("set %s: want KEY=VALUE", excerpt(text))
		case given[key]:
			return nil, fmt.Errorf("set %s: %s is given twice; want it once", excerpt(text), key)
		}
		given[key] = true
		if err := changed.change(key, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", excerpt(text), err)
		}
	}
	if _, err := changed.Check(); err != nil {
		return nil, fmt.Errorf("set %s: %w", excerpt(strings.Join(set, " ")), err)
	}
	return &changed, nil
}

// change sets a parameter or a setting.
func (s *Scenario) change(key, value string) error {
	if slices.Contains(s.Kind.paramNames(), key) {
		if s.Params == nil {
			s.Params = map[string]string{}
		}
		s.Params[key] = value
		return s.Kind.checkOne(key, value)
	}
	var names []string
	for _, t := range settings {
		if t.name == key && t.changes {
			return t.set(s, value)
		}
		if t.changes {
			names = append(names, t.name)
		}
	}
	return fmt.Errorf("%s has no %s; %s", s.Kind.Name, excerpt(key), nearest.Want(key, slices.Concat(s.Kind.paramNames(), names)))
}

// checkOne says what is wrong with one parameter.
func (k *Kind) checkOne(name, text string) error {
	if err := checkText(text, maxParam); err != nil {
		return fmt.Errorf("parameter %s: %w", name, err)
	}
	_, err := k.Check(map[string]string{name: text})
	return err
}

// FindKind returns the kind of a name, or says which name may have been meant.
func FindKind(kinds []Kind, name string) (*Kind, error) {
	names := make([]string, len(kinds))
	for i := range kinds {
		if names[i] = kinds[i].Name; names[i] == name {
			return &kinds[i], nil
		}
	}
	return nil, fmt.Errorf("there is no kind %s; %s", excerpt(name), nearest.Want(name, names))
}
