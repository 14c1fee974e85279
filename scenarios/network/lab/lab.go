// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Options are the limits of a lab; the zero value has none.
type Options struct {
	Rate uint64  // bit/s from the sender to the receiver; 0 for no limit
	Loss float64 // probability with which a packet from the sender to the receiver is lost, 0 to 1
	MTU  int     // how long an IP packet may be on the cable, in bytes; 0 for [MTU]
	// Silent leaves the spaces without addresses, and the kernel sends nothing by itself: what arrives is what was sent on purpose.
	Silent bool
	// Delay is how long a packet is on the way, in either direction, so that a round trip takes twice as long; 0 for a cable without one.
	Delay time.Duration
}

// A Lab is two namespaces joined by a cable. Close removes it.
type Lab struct {
	Sender   *Space
	Receiver *Space

	loss loss
	wire *wire     // nil without a delay
	pass link.Link // nil before TakeXDP
}

// New makes a lab, after it removed what killed processes left of theirs. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN, with loss CAP_BPF too.
// After an error nothing is left of it.
func New(o Options) (l *Lab, err error) {
	if !(o.Loss >= 0 && o.Loss <= 1) {
		return nil, fmt.Errorf("loss %g: want a probability, 0 to 1", o.Loss)
	}
	l = &Lab{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
			l = nil
		}
	}()
	if _, err := CleanUp(); err != nil {
		return l, fmt.Errorf("clean up after killed runs: %w", err)
	}
	if err := l.makeSpaces(o.Silent); err != nil {
		return l, err
	}
	if err := l.plug(o); err != nil {
		return l, err
	}
	if err := l.Sender.Do(func() error { return l.prepareSender(o) }); err != nil {
		return l, err
	}
	if err := l.Receiver.Do(func() error { return l.prepareReceiver(o) }); err != nil {
		return l, err
	}
	if l.wire != nil { // which can carry as soon as its ends are up
		return l, nil
	}
	return l, errors.Join(l.Sender.Do(l.Sender.awaitCarrier), l.Receiver.Do(l.Receiver.awaitCarrier))
}

func (l *Lab) makeSpaces(silent bool) (err error) {
	if l.Sender, err = newSpace(); err != nil {
		return err
	}
	if l.Receiver, err = newSpace(); err != nil {
		return err
	}
	if silent {
		return nil
	}
	l.Sender.IPv4, l.Receiver.IPv4 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	if haveIPv6() {
		l.Sender.IPv6, l.Receiver.IPv6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	}
	return nil
}

// plug makes the cable.
func (l *Lab) plug(o Options) (err error) {
	if o.Delay > 0 {
		l.wire, err = newWire(l.Sender, l.Receiver, o.Delay)
		return err
	}
	return l.Sender.Do(func() error { return plug(l.Receiver, cmp.Or(o.MTU, MTU)) })
}

func (l *Lab) prepareSender(o Options) error {
	if err := l.Sender.configure(); err != nil {
		return err
	}
	if o.Loss > 0 {
		if err := splitSegments(); err != nil {
			return err
		}
	}
	if o.Rate > 0 {
		return limitRate(o.Rate)
	}
	return nil
}

// splitSegments has TCP send packets that are no longer than the MTU, so that a loss is of one packet, not of up to 64 KiB.
func splitSegments() error {
	end, err := netlink.LinkByName(device)
	if err == nil {
		err = netlink.LinkSetGSOMaxSegs(end, 1)
	}
	if err != nil {
		return fmt.Errorf("switch off segmentation at %s: %w", device, err)
	}
	return nil
}

func (l *Lab) prepareReceiver(o Options) (err error) {
	if err := l.Receiver.configure(); err != nil {
		return err
	}
	if o.Loss > 0 {
		l.loss, err = addLoss(o.Loss)
	}
	return err
}

// Counts returns what the loss program counted since New; zeros in a lab without loss.
func (l *Lab) Counts() (Counts, error) { return l.loss.read() }

// Overrun is how many packets the cable could not carry since New; it has no bounds without a delay, and 0.
func (l *Lab) Overrun() (uint64, error) {
	if l.wire == nil {
		return 0, nil
	}
	sum := l.wire.lost.Load()
	for _, s := range []*Space{l.Sender, l.Receiver} {
		err := s.Do(func() error {
			end, err := netlink.LinkByName(device)
			if err == nil {
				sum += end.Attrs().Statistics.TxDropped
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("count what %s dropped: %w", device, err)
		}
	}
	return sum, nil
}

// Close removes the lab: its program, cable and namespaces. Sockets that are still open keep their namespace from going away, so close them
// first; so do, without its name and without links, connections that the kernel has not finished closing, until it gives up. A second Close
// does nothing.
func (l *Lab) Close() error {
	err := errors.Join(l.loss.close(), l.wire.close(), detach(l.pass))
	if l.Sender != nil {
		err = errors.Join(err, l.Sender.Do(unplug))
	}
	err = errors.Join(err, l.Receiver.close(), l.Sender.close())
	*l = Lab{}
	return err
}
