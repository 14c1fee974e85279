// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// A network is who is at the other ends of the recording's Internet sockets.
type network struct {
	count     int  // of talks
	needed    bool // there are such sockets
	talks     []*talk
	listeners []*listener
	invented  uint16 // addresses for sockets that were there before the recording
}

// A talk is what the other end of a TCP connection does: it hears what the recording sent, and says what the recording received.
type talk struct {
	index    int            // among all
	address  netip.AddrPort // where the peer listens; not valid if it connects to a listener
	internal bool           // both ends are in the recording
	heard    int64          // bytes, as the plan follows it
	quiet    time.Duration  // since when the recording sent nothing, the same
	steps    []step
}

// A step is what a peer says once it has heard so many bytes since the beginning; nothing is the end of what it says.
type step struct {
	after, say int64
	delay      time.Duration // since the recording's end last sent, or accepted the connection
}

// A listener is a socket on which the recording accepts connections.
type listener struct {
	index   int
	address netip.AddrPort
	talks   []*talk // with those that connect to it, in order
}

// inventedAddress is for a socket that was there before the recording, which doesn't tell its address.
func (n *network) inventedAddress() netip.AddrPort {
	n.invented++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(n.invented >> 8), byte(n.invented)}), 1)
}

// inherited makes the peer of a connection that was there before the recording.
func (n *network) inherited(o *open) {
	n.needed = true
	if isStream(o.class) {
		n.connect(o, n.inventedAddress())
	}
}

func (n *network) connect(o *open, to netip.AddrPort) {
	o.talk = n.newTalk()
	o.talk.address = to
	n.talks = append(n.talks, o.talk)
}

func (n *network) newTalk() *talk {
	n.count++
	return &talk{index: n.count - 1}
}

func (n *network) listen(o *open, at netip.AddrPort) {
	o.talk = nil
	o.listener = &listener{index: len(n.listeners), address: at}
	n.listeners = append(n.listeners, o.listener)
}

// settle finds the connections of which both ends are in the recording.
func (n *network) settle() {
	for _, l := range n.listeners {
		found := false
		for _, t := range n.talks {
			if t.address.Port() == l.address.Port() && !isInvented(t.address) {
				t.internal, found = true, true
			}
		}
		if found {
			l.talks = nil
		}
	}
}

// checkSize says whether there are too many peers to make.
func (n *network) checkSize() error {
	addresses := map[netip.AddrPort]bool{}
	for _, t := range n.talks {
		addresses[t.address] = true
	}
	if len(addresses) > maxAddresses {
		return fmt.Errorf("the recording connects to %d addresses: want up to %d; record a smaller run", len(addresses), maxAddresses)
	}
	return nil
}

const maxAddresses = 1000

func isInvented(a netip.AddrPort) bool {
	return a.Port() == 1 && a.Addr().Is4() && a.Addr().As4()[0] == 127 && a.Addr().As4()[1] == 1
}

func isStream(c trace.FDClass) bool { return c == trace.InetStream || c == trace.Inet6Stream }

// socket follows a socket's descriptor and who is at its other end.
func (p *plan) socket(s *schedule, o *op) {
	c, proc := o.call, s.process
	switch c.Name {
	case "socket":
		p.newSocket(proc, c)
		return
	case "accept", "accept4":
		p.accepted(proc, o)
		return
	}
	d := p.descriptor(proc, int32(c.Args[0]), c)
	if d == nil || !isStream(d.shared().class) {
		return
	}
	d = d.shared()
	address, err := netip.ParseAddrPort(c.Path)
	if err != nil {
		address = netip.AddrPort{} // a listener without an address has none that a peer could connect to
	}
	switch {
	case c.Name == "connect" && (c.Result == 0 || c.Result == -int64(unix.EINPROGRESS)) && address.IsValid() && d.talk == nil:
		p.network.connect(d, address)
	case c.Name == "bind" && c.Result == 0:
		d.bound = address
	case c.Name == "listen" && c.Result == 0 && d.listener == nil:
		p.network.listen(d, d.bound)
		o.listener = d.listener
	}
}

func (p *plan) newSocket(proc *process, c *trace.Call) {
	if c.Result < 0 {
		return
	}
	class := trace.InetStream
	if c.FD != trace.NoFD {
		class = c.FD
	}
	p.network.needed = p.network.needed || isInternet(class)
	proc.fds[int32(c.Result)] = &open{
		class: class, cloexec: c.Args[1]&unix.SOCK_CLOEXEC != 0, blocks: c.Args[1]&unix.SOCK_NONBLOCK == 0,
	}
}

// accepted follows an accept, whose socket a peer has connected to.
func (p *plan) accepted(proc *process, o *op) {
	c := o.call
	d := p.descriptor(proc, int32(c.Args[0]), c)
	if d == nil || c.Result < 0 {
		return
	}
	d = d.shared()
	flags := uint64(0)
	if c.Name == "accept4" {
		flags = c.Args[3]
	}
	made := &open{class: d.class, cloexec: flags&unix.SOCK_CLOEXEC != 0, blocks: flags&unix.SOCK_NONBLOCK == 0}
	proc.fds[int32(c.Result)] = made
	if !isStream(d.class) {
		return
	}
	if d.listener == nil { // it listened before the recording began
		p.network.listen(d, p.network.inventedAddress())
	}
	made.talk = p.network.newTalk()
	made.talk.quiet = c.Start + c.Duration
	o.talk = made.talk
	d.listener.talks = append(d.listener.talks, made.talk)
	o.listener = d.listener
}

// talked follows what goes over a connection. Woke is when the thread last came out of a wait for events, 0 if they were there already.
func (t *talk) talked(o *op, woke time.Duration) {
	c := o.call
	if c.Result < 0 {
		return
	}
	switch c.Name {
	case "write", "writev", "sendto", "sendmsg", "sendfile":
		t.heard += c.Result
		t.quiet = c.Start + c.Duration
		o.talk = t
	case "read", "readv", "recvfrom", "recvmsg":
		if c.Name == "recvfrom" && c.Args[3]&unix.MSG_PEEK != 0 {
			return
		}
		if n := len(t.steps); n > 0 && t.steps[n-1].after == t.heard && c.Result > 0 {
			t.steps[n-1].say += c.Result
			return
		}
		if o.blocks && c.Duration > asleep {
			woke = c.Start + c.Duration
		}
		t.steps = append(t.steps, step{t.heard, c.Result, max(woke-t.quiet, 0)})
	}
}

// asleep is how long a call takes at least that waits in earnest.
const asleep = 5 * time.Microsecond

// wokeUp is when a call came out of a wait for events; ok if it's such a call.
func wokeUp(c *trace.Call) (at time.Duration, ok bool) {
	switch c.Name {
	case "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6":
		if c.Result > 0 && c.Duration > asleep {
			return c.Start + c.Duration, true
		}
		return 0, true
	}
	return 0, false
}

// talks are the calls to and from the other end of a socket, which are left out where nobody is there: of datagrams and netlink.
var talks = map[string]bool{
	"connect": true, "accept": true, "accept4": true, "shutdown": true, "read": true, "write": true,
	"readv": true, "writev": true, "sendto": true, "recvfrom": true, "sendmsg": true, "recvmsg": true, "getpeername": true,
}

// segment is what comes in one piece on a loopback interface, whose packets are of 64 KiB.
const segment = 32 << 10

// reaches says whether a call on a socket finds somebody. It limits what is received to what was, since a peer may say more at once.
func (o *op) reaches(d *open) bool {
	c := o.call
	switch {
	case !isInternet(o.class) || !talks[c.Name]:
		return true
	case !isStream(o.class):
		return false
	case c.Name == "connect" || c.Name == "accept" || c.Name == "accept4":
		return true
	case d.talk == nil:
		return c.Result < 0
	}
	o.whole = o.wait == forInput && c.Result > segment
	o.tries = o.wait != noWait && !o.whole
	switch {
	case c.Name != "read" && c.Name != "recvfrom":
	case c.Result > 0:
		o.args[2] = uintptr(c.Result)
	case c.Result == -int64(unix.EAGAIN): // there was nothing yet; what may be there now is for a later call
		if c.Name == "read" {
			o.spec, o.args[3] = line(unix.SYS_RECVFROM, "f b - - n n", plain), 0
		}
		o.args[3] |= unix.MSG_PEEK | unix.MSG_DONTWAIT
	}
	return true
}

// socketAddress is the kernel's form of an Internet address for a socket of the class; nil if it's none.
func socketAddress(class trace.FDClass, name string) []byte {
	a, err := netip.ParseAddrPort(name)
	if err != nil || !isInternet(class) {
		return nil
	}
	port := []byte{byte(a.Port() >> 8), byte(a.Port())}
	if a.Addr().Is4() {
		b := append([]byte{unix.AF_INET, 0}, port...)
		return append(append(b, a.Addr().AsSlice()...), make([]byte, 8)...)
	}
	b := append([]byte{unix.AF_INET6, 0}, port...)
	b = append(b, 0, 0, 0, 0)
	return append(append(b, a.Addr().AsSlice()...), 0, 0, 0, 0)
}
