// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// setup sets options of a socket before it is bound or connected.
type setup func(fd int) error

// control is what package net wants of a setup.
func (set setup) control(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) { err = set(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// tcpSetup is for both ends of a connection. SO_REUSEADDR lets a port be used while it is in TIME_WAIT.
func (w *workload) tcpSetup(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if w.congestion == "" {
		return nil
	}
	err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, w.congestion)
	return os.NewSyscallError("setsockopt TCP_CONGESTION", err)
}

// receiveBuffer is that of the UDP receiver, in bytes: enough for the pauses that a busy machine makes.
const receiveBuffer = 16 << 20

func udpSetup(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	return os.NewSyscallError("setsockopt SO_RCVBUFFORCE", err)
}

// listenTCP listens in the receiver's space, on any port.
func (w *workload) listenTCP(ctx context.Context) (l *net.TCPListener, err error) {
	config := net.ListenConfig{Control: setup(w.tcpSetup).control, KeepAlive: -1}
	config.SetMultipathTCP(false)
	err = w.lab.Receiver.Do(func() error {
		listener, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(w.address(w.lab.Receiver), 0).String())
		if err != nil {
			return err
		}
		l = listener.(*net.TCPListener)
		return nil
	})
	return l, err
}

// listenUDP makes the receiver's socket, on any port.
func (w *workload) listenUDP(ctx context.Context) (c *net.UDPConn, err error) {
	config := net.ListenConfig{Control: setup(udpSetup).control}
	err = w.lab.Receiver.Do(func() error {
		conn, err := config.ListenPacket(ctx, "udp", netip.AddrPortFrom(w.address(w.lab.Receiver), 0).String())
		if err != nil {
			return err
		}
		c = conn.(*net.UDPConn)
		return nil
	})
	return c, err
}

// dialer makes TCP connections; it has to be called in the sender's space.
func (w *workload) dialer() *net.Dialer {
	return &net.Dialer{Control: setup(w.tcpSetup).control, KeepAlive: -1}
}

// dial connects from the sender's space.
func (w *workload) dial(ctx context.Context, d *net.Dialer, to net.Addr) (c net.Conn, err error) {
	err = w.lab.Sender.Do(func() error {
		c, err = d.DialContext(ctx, to.Network(), to.String())
		return err
	})
	return c, err
}

// checkCongestion says whether the kernel has the congestion control, and which it has instead.
func (w *workload) checkCongestion() error {
	if w.congestion == "" {
		return nil
	}
	return w.lab.Sender.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		err = w.tcpSetup(fd)
		closeErr := unix.Close(fd)
		if err == nil {
			return os.NewSyscallError("close", closeErr)
		}
		const list = "/proc/sys/net/ipv4/tcp_available_congestion_control"
		available, readErr := os.ReadFile(list)
		if readErr != nil {
			return fmt.Errorf("parameter congestion: %q: %w", w.congestion, err)
		}
		return fmt.Errorf("parameter congestion: %q: %w; want one of %s", w.congestion, err, strings.TrimSpace(string(available)))
	})
}
