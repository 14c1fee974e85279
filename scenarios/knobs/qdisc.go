// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// qdiscKind is the queueing discipline with which a network device sends, with the options that it has by default; default is the one that
// the kernel gives a device by itself.
var qdiscKind = kind{
	name: "qdisc",
	checkName: func(name string) (string, error) {
		if !deviceName().MatchString(name) {
			return "", errors.New("want a network device, such as eth0")
		}
		return name, nil
	},
	checkValue: func(_, value string) (string, error) {
		if !qdiscName().MatchString(value) {
			return "", errors.New("want the name of a queueing discipline, such as fq, or default")
		}
		return value, nil
	},
	check: func(_ place, name, _ string) error {
		_, err := readDefaultQdisc(name)
		return err
	},
	read:     func(_ place, name string) (string, error) { return readQdisc(name) },
	write:    func(_ place, name, value string) error { return writeQdisc(name, value) },
	original: readDefaultQdisc,
	perSpace: func(string, []string) (bool, error) { return true, nil },
}

const defaultQdisc = "default"

var qdiscName = lazyregexp.New(`^[a-z][a-z0-9_]{0,14}$`)

// rootQdisc returns what a device sends with; nil for nothing.
func rootQdisc(device string) (netlink.Link, netlink.Qdisc, error) {
	link, err := netlink.LinkByName(device)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil, nil, fmt.Errorf("no network device %s here: %w", device, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, err
	}
	all, err := netlink.QdiscList(link)
	if err != nil {
		return nil, nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_ROOT {
			return link, q, nil
		}
	}
	return link, nil, nil
}

// readQdisc returns the name of what a device sends with. What the kernel gave it by itself has no handle.
func readQdisc(device string) (string, error) {
	_, q, err := rootQdisc(device)
	switch {
	case err != nil:
		return "", err
	case q == nil || q.Attrs().Handle == 0:
		return defaultQdisc, nil
	}
	return q.Type(), nil
}

// readDefaultQdisc wants the qdisc to be the kernel's: another has options, and may have classes and filters, that could not be put back.
func readDefaultQdisc(device string) (string, error) {
	name, err := readQdisc(device)
	if err == nil && name != defaultQdisc {
		return "", fmt.Errorf("%s has a qdisc with options of its own (%s), which could not be put back: tc qdisc del dev %s root", device, name, device)
	}
	return name, err
}

func writeQdisc(device, name string) error {
	link, q, err := rootQdisc(device)
	if err != nil {
		return err
	}
	if name == defaultQdisc {
		if q == nil || q.Attrs().Handle == 0 {
			return nil
		}
		return netlink.QdiscDel(q)
	}
	attrs := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT}
	err = netlink.QdiscReplace(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: name})
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the kernel has no queueing discipline %s: modprobe sch_%s loads it, if there is one", name, name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s can't be used without options: %w", name, err)
	}
	return err
}
