// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// The token bucket of a rate limit holds as many bytes as pass in 4 ms, and at least two packets; packets wait for up to 50 ms, and what
// does not fit any more is dropped.
const (
	burstSeconds = 0.004
	queueSeconds = 0.050
	minBurst     = 2 * (MTU + 14)
)

// limitRate lets only so many bit/s leave by this end of the cable; Ethernet headers count. It must run in the space.
func limitRate(bits uint64) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("rate limit: %w", err)
	}
	rate := bits / 8
	burst := max(uint32(float64(rate)*burstSeconds), minBurst)
	err = netlink.QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Buffer:     netlink.Xmittime(rate, burst), // the kernel takes it as a time, in ticks
		Limit:      uint32(float64(rate)*queueSeconds) + burst,
	})
	if err != nil {
		return fmt.Errorf("rate limit: add tbf to %s: %w", device, err)
	}
	return nil
}
