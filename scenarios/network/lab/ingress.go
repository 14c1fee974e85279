// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachIngress has a program see what arrives at this end of the cable. It must run in the space. Without tcx the link is nil: the program hangs at clsact,
// and goes with the device.
func attachIngress(program *ebpf.Program) (link.Link, error) {
	end, err := netlink.LinkByName(device)
	if err != nil {
		return nil, err
	}
	attached, err := link.AttachTCX(link.TCXOptions{Interface: end.Attrs().Index, Program: program, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) { // before kernel 6.6
		return nil, attachClsact(end, program)
	}
	return attached, err
}

// attachClsact attaches a program where a device's packets arrive, as kernels without tcx can.
func attachClsact(to netlink.Link, program *ebpf.Program) error {
	index := to.Attrs().Index
	qdisc := netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
	if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: qdisc}); err != nil {
		return fmt.Errorf("add clsact to %s: %w", device, err)
	}
	filter := netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1}
	err := netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: filter, Fd: program.FD(), Name: "assay", DirectAction: true})
	if err != nil {
		return fmt.Errorf("add filter to %s: %w", device, err)
	}
	return nil
}

// detach closes a link, which may be nil.
func detach(l link.Link) error {
	if l == nil {
		return nil
	}
	return l.Close()
}
