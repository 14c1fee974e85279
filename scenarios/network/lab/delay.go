// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A wire is a cable with a delay: a TAP device at each end, and we carry the packets between them, each after the same time. The kernel's netem
// would do that too, where it has it. What we do for a packet takes some microseconds of CPU time, and counts as the workload's.
type wire struct {
	ends    [2]*os.File
	closed  chan struct{}
	carries sync.WaitGroup
	lost    atomic.Uint64 // what an end didn't take
}

// held is how many packets are on the way at once, in one direction; more wait in the queue of the device, where the kernel drops what doesn't fit.
const held = 16 << 10

// A packet is an Ethernet frame on its way.
type packet struct {
	frame []byte
	due   time.Time
}

// newWire makes the cable, and carries packets until it is closed.
func newWire(sender, receiver *Space, delay time.Duration) (*wire, error) {
	w := &wire{closed: make(chan struct{})}
	for i, s := range []*Space{sender, receiver} {
		err := s.Do(func() (err error) {
			w.ends[i], err = openTap()
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make TAP device in %s: %w", s.Name, err), w.close())
		}
	}
	w.carry(w.ends[0], w.ends[1], delay)
	w.carry(w.ends[1], w.ends[0], delay)
	return w, nil
}

// openTap makes a TAP device in the namespace of the thread (Documentation/networking/tuntap.rst); it goes when the file is closed.
func openTap() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// carry carries packets from one end to the other until one is closed.
func (w *wire) carry(from, to *os.File, delay time.Duration) {
	way := make(chan packet, held)
	w.carries.Go(func() {
		defer close(way)
		frame := make([]byte, 64<<10)
		for {
			n, err := from.Read(frame)
			if err != nil {
				return // closed
			}
			way <- packet{append([]byte(nil), frame[:n]...), time.Now().Add(delay)}
		}
	})
	w.carries.Go(func() {
		for p := range way {
			select {
			case <-time.After(time.Until(p.due)):
			case <-w.closed:
			}
			if _, err := to.Write(p.frame); err != nil { // the device is down, or closed
				w.lost.Add(1)
			}
		}
	})
}

// close removes the cable, and drops what is on its way. A nil wire has nothing to close.
func (w *wire) close() error {
	if w == nil {
		return nil
	}
	close(w.closed)
	var errs []error
	for _, end := range w.ends {
		if end != nil {
			errs = append(errs, end.Close())
		}
	}
	w.carries.Wait()
	return errors.Join(errs...)
}
