// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// sends is how many datagrams a test of loss sends, in batches that fit into a socket's buffer.
const (
	sends = 4000
	batch = 100
)

func TestLoss(t *testing.T) {
	for _, probability := range []float64{0.1, 0.5, 0.9, 1} { // as numbers of 32 bits with sign, those from 0.5 are negative
		l := newLab(t, Options{Loss: probability})
		for _, to := range []netip.Addr{l.Receiver.IPv4, l.Receiver.IPv6} {
			checkLoss(t, l, to, probability)
		}
	}
}

// TestClsact attaches as kernels before 6.6 need it.
func TestClsact(t *testing.T) {
	l := newLab(t, Options{})
	in(t, l.Receiver, func() (err error) {
		if l.loss, err = loadLoss(0.3); err != nil {
			return err
		}
		end, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return attachClsact(end, l.loss.program)
	})
	checkLoss(t, l, l.Receiver.IPv4, 0.3)
}

// checkLoss compares the program's counts with those of the sockets, exactly, and the share with the probability.
func checkLoss(t *testing.T, l *Lab, to netip.Addr, probability float64) {
	t.Helper()
	before := counts(t, l)
	received := sendBatches(t, l, to)
	after := counts(t, l)
	seen, dropped := int(after.Seen-before.Seen), int(after.Dropped-before.Dropped)
	if seen != sends || received+dropped != sends {
		t.Errorf("%s: %d sent, %d seen, %d dropped, %d received", to, sends, seen, dropped, received)
	}
	sigma := math.Sqrt(probability * (1 - probability) / sends)
	if share := float64(dropped) / sends; math.Abs(share-probability) > 7*sigma {
		t.Errorf("%s: %g of the datagrams dropped, want about %g", to, share, probability)
	}
}

func counts(t *testing.T, l *Lab) Counts {
	t.Helper()
	c, err := l.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sendBatches sends datagrams, and after each batch receives those that the program let pass.
func sendBatches(t *testing.T, l *Lab, to netip.Addr) (received int) {
	t.Helper()
	var sender net.Conn
	var receiver net.PacketConn
	in(t, l.Receiver, func() (err error) {
		receiver, err = net.ListenPacket("udp", netip.AddrPortFrom(to, 0).String())
		return err
	})
	defer receiver.Close()
	in(t, l.Sender, func() (err error) {
		sender, err = net.Dial("udp", receiver.LocalAddr().String())
		return err
	})
	defer sender.Close()
	seen := counts(t, l).Seen
	for sent := 0; sent < sends; {
		for range batch {
			if _, err := sender.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		for start := time.Now(); counts(t, l).Seen < seen+uint64(sent) && time.Since(start) < time.Second; {
			time.Sleep(time.Millisecond)
		}
		received += receiveAll(t, receiver)
	}
	return received
}

// receiveAll counts what a socket has.
func receiveAll(t *testing.T, from net.PacketConn) (n int) {
	t.Helper()
	for {
		if err := from.SetReadDeadline(time.Now().Add(2 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _, err := from.ReadFrom(make([]byte, 1))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}
