// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Traffic is what arrived at an end of the cable, by the counters of the device: frames, whatever their addresses, before the loss program
// had any, and their bytes with Ethernet headers.
type Traffic struct {
	Packets uint64
	Bytes   uint64
}

// Arrived returns what arrived at this end of the cable since it is there.
func (s *Space) Arrived() (t Traffic, err error) {
	err = s.Do(func() error {
		end, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		counters := end.Attrs().Statistics
		if counters == nil {
			return fmt.Errorf("%s has no counters", device)
		}
		t = Traffic{counters.RxPackets, counters.RxBytes}
		return nil
	})
	return t, err
}

// Index returns the interface index of this end of the cable.
func (s *Space) Index() (index int, err error) {
	err = s.Do(func() error {
		end, err := netlink.LinkByName(device)
		if err == nil {
			index = end.Attrs().Index
		}
		return err
	})
	return index, err
}
