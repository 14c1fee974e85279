// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
	"github.com/assaylab/assay/scenarios/internal/cpulist"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// envKind is the environment of the workload.
var envKind = kind{
	name: "env", mayBeEmpty: true,
	checkName: func(name string) (string, error) {
		if !envName().MatchString(name) {
			return "", errors.New("want the name of an environment variable, such as GOGC")
		}
		return name, nil
	},
	checkValue: func(_, value string) (string, error) { return value, nil },
	read:       func(_ place, name string) (string, error) { return os.Getenv(name), nil },
	launch:     func(name, value string) (Launch, error) { return Launch{Env: []string{name + "=" + value}}, nil },
}

var envName = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// workload is the name of knobs that a workload has one of.
const workload = "workload"

func checkWorkload(name string) (string, error) {
	if name != workload {
		return "", errors.New("want workload: there is nothing else that it can be of")
	}
	return name, nil
}

// policies are those of sched(7) that need no more than a priority.
var policies = []struct {
	name     string
	number   uint32
	priority bool // has one, 1 to 99
}{
	{"other", unix.SCHED_NORMAL, false},
	{"batch", unix.SCHED_BATCH, false},
	{"idle", unix.SCHED_IDLE, false},
	{"fifo", unix.SCHED_FIFO, true},
	{"rr", unix.SCHED_RR, true},
}

// schedKind is the scheduling policy of the workload.
var schedKind = kind{
	name: "sched", checkName: checkWorkload,
	checkValue: func(_, value string) (string, error) {
		_, err := parsePolicy(value)
		return value, err
	},
	read: func(place, string) (string, error) {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			return "", err
		}
		return policyText(attr), nil
	},
	launch: func(_, value string) (Launch, error) { return Launch{Policy: value}, nil },
}

// parsePolicy reads NAME or NAME:PRIORITY.
func parsePolicy(text string) (attr unix.SchedAttr, err error) {
	name, priority, given := strings.Cut(text, ":")
	var names []string
	for _, p := range policies {
		names = append(names, p.name)
		if p.name != name {
			continue
		}
		attr.Policy = p.number
		if !p.priority && !given {
			return attr, nil
		}
		n, err := strconv.ParseUint(priority, 10, 8)
		if !p.priority || err != nil || n < 1 || n > 99 || priority[0] == '0' {
			return attr, errors.New("want other, batch, idle, fifo:PRIORITY or rr:PRIORITY, with a priority of 1 to 99")
		}
		attr.Priority = uint32(n)
		return attr, nil
	}
	return attr, fmt.Errorf("there is no such policy; %s", nearest.Want(name, names))
}

func policyText(attr *unix.SchedAttr) string {
	for _, p := range policies {
		switch {
		case p.number == attr.Policy && p.priority:
			return fmt.Sprintf("%s:%d", p.name, attr.Priority)
		case p.number == attr.Policy:
			return p.name
		}
	}
	return fmt.Sprintf("policy %d", attr.Policy)
}

// niceKind is the nice value of the workload.
var niceKind = kind{
	name: "nice", checkName: checkWorkload,
	checkValue: func(_, value string) (string, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < -20 || n > 19 {
			return "", errors.New("want a number from -20 (first) to 19 (last)")
		}
		return strconv.Itoa(n), nil
	},
	read: func(place, string) (string, error) {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			return "", err
		}
		return strconv.Itoa(int(attr.Nice)), nil
	},
	launch: func(_, value string) (Launch, error) {
		n, err := strconv.Atoi(value)
		return Launch{Nice: &n}, err
	},
}

// affinityKind is the CPUs on which the workload may run.
var affinityKind = kind{
	name: "affinity", checkName: checkWorkload,
	checkValue: func(_, value string) (string, error) {
		cpus, err := cpulist.Parse(value)
		return cpulist.Format(cpus), err
	},
	check: func(_ place, _, value string) error { return checkCPUs(value) },
	read: func(place, string) (string, error) {
		cpus, err := ownCPUs()
		return cpulist.Format(cpus), err
	},
	launch: func(_, value string) (Launch, error) {
		cpus, err := cpulist.Parse(value)
		return Launch{CPUs: cpus}, err
	},
}

// ownCPUs are those on which the process may run, ascending.
func ownCPUs() (cpus []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return nil, err
	}
	for cpu := range cpulist.Max + 1 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// checkCPUs wants CPUs on which we may run.
func checkCPUs(list string) error {
	cpus, err := cpulist.Parse(list)
	if err != nil {
		return err
	}
	own, err := ownCPUs()
	if err != nil {
		return err
	}
	for _, cpu := range cpus {
		if !slices.Contains(own, cpu) {
			return fmt.Errorf("CPU %d is not among ours (%s)", cpu, cpulist.Format(own))
		}
	}
	return nil
}
