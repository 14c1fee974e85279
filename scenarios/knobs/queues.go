// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/assaylab/assay/internal/lazyregexp"
	"github.com/assaylab/assay/scenarios/internal/cpulist"
)

// rpsKind and xpsKind say which CPUs work on the packets that a queue of a network device receives, and use the one that sends
// (Documentation/networking/scaling.rst). A name is a device, for all its queues, or DEVICE/QUEUE. A value is a list of CPUs, or none; for a
// device it may be as many as it has queues, with spaces between them.
var (
	rpsKind = queueKind("rps", "rx-", "rps_cpus")
	xpsKind = queueKind("xps", "tx-", "xps_cpus")
)

// none is a list without CPUs.
const none = "none"

var (
	deviceName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$`)
	queueName  = lazyregexp.New(`^[rt]x-[0-9]{1,4}$`)
)

func queueKind(name, prefix, file string) kind {
	return kind{
		name: name,
		checkName: func(name string) (string, error) {
			device, queue, given := strings.Cut(name, "/")
			if !deviceName().MatchString(device) || given && (!queueName().MatchString(queue) || !strings.HasPrefix(queue, prefix)) {
				return "", fmt.Errorf("want a network device, such as eth0, or one of its queues, such as eth0/%s0", prefix)
			}
			return name, nil
		},
		checkValue: func(name, value string) (string, error) { return checkLists(value, strings.Contains(name, "/")) },
		check: func(at place, name, value string) error {
			paths, err := queueFiles(at, name, prefix, file)
			if err != nil {
				return err
			}
			if lists := len(strings.Fields(value)); lists != 1 && lists != len(paths) {
				return fmt.Errorf("value %q is for %d queues; it has %d", value, lists, len(paths))
			}
			if _, err := readQueues(at, name, prefix, file); err != nil {
				return err
			}
			return networkDevices(at).check(paths[0])
		},
		read:     func(at place, name string) (string, error) { return readQueues(at, name, prefix, file) },
		write:    func(at place, name, value string) error { return writeQueues(at, name, prefix, file, value) },
		perSpace: func(string, []string) (bool, error) { return true, nil },
	}
}

// checkLists checks lists of CPUs; equal ones are written once.
func checkLists(value string, one bool) (string, error) {
	var lists []string
	for _, list := range strings.Fields(value) {
		if list != none {
			cpus, err := cpulist.Parse(list)
			if err != nil {
				return "", err
			}
			list = cpulist.Format(cpus)
		}
		lists = append(lists, list)
	}
	if one && len(lists) != 1 {
		return "", errors.New("want one list of CPUs for a queue, or none")
	}
	return joinLists(lists), nil
}

func joinLists(lists []string) string {
	if len(slices.Compact(slices.Clone(lists))) == 1 {
		return lists[0]
	}
	return strings.Join(lists, " ")
}

// networkDevices is the sysfs that has the devices of a place.
func networkDevices(at place) tree {
	if at == space {
		return newSysfs
	}
	return sysfs
}

// queueFiles returns the paths of a device's files, or the one of a queue, by their numbers.
func queueFiles(at place, name, prefix, file string) ([]string, error) {
	device, queue, one := strings.Cut(name, "/")
	folder := "class/net/" + device + "/queues/"
	names, err := networkDevices(at).list(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no network device %s here: %w", device, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for number := range names { // more than there are of either
		n := fmt.Sprintf("%s%d", prefix, number)
		if slices.Contains(names, n) && (!one || n == queue) {
			paths = append(paths, folder+n+"/"+file)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no such queue: %w", device, fs.ErrNotExist)
	}
	return paths, nil
}

func readQueues(at place, name, prefix, file string) (string, error) {
	paths, err := queueFiles(at, name, prefix, file)
	if err != nil {
		return "", err
	}
	var lists []string
	for _, path := range paths {
		mask, err := networkDevices(at).read(path)
		if errors.Is(err, fs.ErrNotExist) && file == "xps_cpus" {
			return "", fmt.Errorf("the device has a single queue, so there is nothing to choose: %w", fs.ErrNotExist)
		}
		if err != nil {
			return "", err
		}
		cpus, err := cpulist.ParseMask(mask)
		if err != nil {
			return "", err
		}
		list := cpulist.Format(cpus)
		if list == "" {
			list = none
		}
		lists = append(lists, list)
	}
	return joinLists(lists), nil
}

func writeQueues(at place, name, prefix, file, value string) error {
	paths, err := queueFiles(at, name, prefix, file)
	if err != nil {
		return err
	}
	lists := strings.Fields(value)
	if len(lists) != 1 && len(lists) != len(paths) {
		return fmt.Errorf("lists for %d queues, and it has %d", len(lists), len(paths))
	}
	for i, path := range paths {
		list := lists[min(i, len(lists)-1)]
		if list == none {
			list = ""
		}
		cpus, err := cpulist.Parse(list)
		if err != nil {
			return err
		}
		if err := networkDevices(at).write(path, cpulist.FormatMask(cpus)); err != nil {
			return err
		}
	}
	return nil
}
