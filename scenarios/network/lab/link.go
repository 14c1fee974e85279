// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// device is the name of both ends of the cable.
const device = "assay0"

// senderIndex is the interface index of the sender's end; the receiver's gets the first that is free there. They must not be the same: the
// kernel takes a device that is its own peer by index for a piece of hardware, whose change of carrier may wait for a second
// (linkwatch_urgent_event), and until then drops what the device sends.
const senderIndex = 10

// MTU is how long an IP packet may be on the cable, in bytes, unless the options say otherwise.
const MTU = 1500

// plug makes the cable between two namespaces. It must run in the first of them. The host's namespace never sees either end.
func plug(to *Space, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Index = device, mtu, senderIndex
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: device, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(to.handle)})
	if err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	return nil
}

// unplug removes the cable, both ends. It must run in one of its namespaces. No cable is no error.
func unplug() error {
	link, err := netlink.LinkByName(device)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("remove veth pair: %w", err)
	}
	return nil
}

// configure brings lo and this end of the cable up, with the space's addresses. It must run in the space.
func (s *Space) configure() error {
	if err := setSysctls(s.IPv6.IsValid()); err != nil {
		return err
	}
	for _, name := range []string{"lo", device} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("bring up %s in %s: %w", name, s.Name, err)
		}
	}
	for _, prefix := range []netip.Prefix{netip.PrefixFrom(s.IPv4, 24), netip.PrefixFrom(s.IPv6, 64)} {
		if !prefix.Addr().IsValid() {
			continue
		}
		if err := addAddress(prefix); err != nil {
			return fmt.Errorf("give %s to %s in %s: %w", prefix, device, s.Name, err)
		}
	}
	return nil
}

// How long an end of the cable may take to have a carrier, and how often to look.
const (
	carrierPatience = 5 * time.Second
	carrierLook     = time.Millisecond
)

// awaitCarrier waits until this end of the cable can send. It must run in the space, when both ends are up.
func (s *Space) awaitCarrier() error {
	for start := time.Now(); time.Since(start) < carrierPatience; time.Sleep(carrierLook) {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return fmt.Errorf("%s in %s: no carrier within %s", device, s.Name, carrierPatience)
}

// addAddress gives an address to this end of the cable. IPv6 addresses are used at once, without looking for a double (nodad).
func addAddress(prefix netip.Prefix) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	ip := prefix.Addr()
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(prefix.Bits(), ip.BitLen())}}
	if ip.Is6() {
		address.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrAdd(link, address)
}

const sysctls = "/proc/sys/net"

// haveIPv6 says whether the kernel has IPv6 at all.
func haveIPv6() bool {
	_, err := os.Stat(filepath.Join(sysctls, "ipv6"))
	return !errors.Is(err, fs.ErrNotExist)
}

// setSysctls makes many short connections possible (each leaves a port in TIME_WAIT, which can be used again after a second), and switches
// IPv6 on or off, whatever the host has. /proc/sys/net is that of the thread which opens it.
func setSysctls(ipv6 bool) error {
	settings := [][2]string{{"ipv4/ip_local_port_range", "1024 65535"}, {"ipv4/tcp_tw_reuse", "1"}}
	if haveIPv6() {
		off := map[bool]string{true: "0", false: "1"}[ipv6]
		settings = append(settings, [2]string{"ipv6/conf/" + device + "/disable_ipv6", off})
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(sysctls, s[0]), []byte(s[1]), 0); err != nil {
			return err
		}
	}
	return nil
}
