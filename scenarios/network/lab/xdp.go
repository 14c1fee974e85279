// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

const xdpPass = 2 // enum xdp_action

// TakeXDP has the receiver's end of the cable take frames that an XDP program redirects to the sender's end. A veth does so only where its peer
// has an XDP program, so it gets one that lets all pass, to the receiver's stack as ever. It lasts until the lab is closed. After an error
// nothing has changed.
func (l *Lab) TakeXDP() error {
	return l.Receiver.Do(func() (err error) {
		if l.pass, err = attachPass(); err != nil {
			return fmt.Errorf("XDP at %s: %w", device, err)
		}
		if err = splitReceived(); err != nil {
			err = errors.Join(err, l.pass.Close())
			l.pass = nil
		}
		return err
	})
}

// attachPass attaches the program that lets all pass to this end of the cable.
func attachPass() (link.Link, error) {
	end, err := netlink.LinkByName(device)
	if err != nil {
		return nil, err
	}
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	attached, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: end.Attrs().Index, Flags: link.XDPDriverMode})
	return attached, errors.Join(err, pass.Close()) // the link holds the program
}

// splitReceived has packets arrive as they were sent: a veth with an XDP program would join those of a flow (GRO).
func splitReceived() error {
	settings, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer settings.Close()
	if err := settings.Change(device, map[string]bool{"rx-gro": false}); err != nil {
		return fmt.Errorf("switch off GRO at %s: %w", device, err)
	}
	return nil
}
