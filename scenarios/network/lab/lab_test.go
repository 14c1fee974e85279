// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
	"github.com/assaylab/assay/scenarios/network/lab/leaktest"
)

// newLab makes a lab for a test, and sees to it that nothing is left of it.
func newLab(t *testing.T, o Options) *Lab {
	t.Helper()
	leaktest.Check(t)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // the second does nothing
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return l
}

// in runs f in a space, and fails the test if it fails.
func in(t *testing.T, s *Space, f func() error) {
	t.Helper()
	if err := s.Do(f); err != nil {
		t.Fatal(err)
	}
}

func TestLabConnects(t *testing.T) {
	l := newLab(t, Options{})
	for _, to := range []netip.Addr{l.Receiver.IPv4, l.Receiver.IPv6} {
		var listener net.Listener
		in(t, l.Receiver, func() (err error) {
			listener, err = net.Listen("tcp", netip.AddrPortFrom(to, 0).String())
			return err
		})
		var sender net.Conn
		in(t, l.Sender, func() (err error) {
			sender, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
			return err
		})
		receiver, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sender.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(receiver, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []io.Closer{listener, sender, receiver} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSpacesAreApart wants each space to have lo and its end of the cable and nothing else, and the test's own thread to stay at home.
func TestSpacesAreApart(t *testing.T) {
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, Options{})
	for _, s := range []*Space{l.Sender, l.Receiver} {
		in(t, s, func() error {
			if there, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || there == home {
				t.Errorf("%s is %s, as is home (%v)", s.Name, there, err)
			}
			links, err := netlink.LinkList()
			if len(links) != 2 || links[0].Attrs().Name != "lo" || links[1].Attrs().Name != device {
				t.Errorf("links in %s: %v", s.Name, links)
			}
			for _, link := range links {
				if link.Attrs().Flags&net.FlagUp == 0 {
					t.Errorf("%s in %s is down", link.Attrs().Name, s.Name)
				}
			}
			return err
		})
	}
}

func TestRateLimitIsSet(t *testing.T) {
	for _, rate := range []uint64{minRate, 100e6, maxRate} {
		l := newLab(t, Options{Rate: rate})
		in(t, l.Sender, func() error {
			end, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			qdiscs, err := netlink.QdiscList(end)
			if err != nil {
				return err
			}
			tbf, ok := qdiscs[0].(*netlink.Tbf)
			if !ok || tbf.Rate != rate/8 {
				t.Errorf("rate %d: the sender has %v", rate, qdiscs[0])
			}
			return nil
		})
	}
}

func TestBadLoss(t *testing.T) {
	leaktest.Check(t)
	for _, loss := range []float64{-0.1, 1.1, math.NaN()} {
		if l, err := New(Options{Loss: loss}); err == nil {
			t.Errorf("a lab with loss %g was made: %v", loss, l.Close())
		}
	}
}

// TestErrorLeavesNothing makes a rate limit that tbf refuses, when all else is there.
func TestErrorLeavesNothing(t *testing.T) {
	leaktest.Check(t)
	if l, err := New(Options{Rate: 1}); err == nil { // less than a byte a second
		t.Errorf("a lab with 1 bit/s was made: %v", l.Close())
	}
}

// TestMainThreadStaysOut starts threads until Go's scheduler should have offered the main thread for it.
func TestMainThreadStaysOut(t *testing.T) {
	leaktest.Check(t)
	for range 500 {
		err := thread.Do(func() error {
			if unix.Gettid() == os.Getpid() {
				t.Error("f runs on the main thread")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
