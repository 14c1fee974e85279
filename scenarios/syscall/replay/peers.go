// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// peers are the other ends of the recording's connections: one thread in a network namespace of the replay's own, in which every address is
// the machine's own and nothing leads out.
type peers struct {
	network *network
	pass    *pass
	sent    []atomic.Int64 // for each talk, when the recording's end last sent, since the pass's epoch; while it does, the negative of when that began
	wanted  []atomic.Int32 // for each of the network's listeners, how many are to connect by now
	space   int            // the namespace
	stopped atomic.Bool
	ended   chan struct{}
	err     error

	epoll     int
	listening map[int][]*talk // by descriptor: with those that connect next
	speakers  map[int]*speaker
	late      []*speaker // that wait for the time to speak
	connected []int      // for each of the network's listeners
	heard     []byte
	said      []byte
}

// A speaker is one end of a connection.
type speaker struct {
	fd    int
	talk  *talk
	heard int64
	next  int           // step
	left  int64         // to say of the step before
	waits bool          // for room
	due   time.Duration // when it speaks next, 0 if it doesn't wait for that
	open  bool          // it can't be known yet, since the recording's end hasn't done with sending
}

// startPeers makes the namespace and has all peers listen. It returns nil if nobody needs them.
func startPeers(n *network, with *pass) (*peers, error) {
	if !n.needed {
		return nil, nil
	}
	p := &peers{
		network: n, pass: with, sent: make([]atomic.Int64, n.count), wanted: make([]atomic.Int32, len(n.listeners)), space: -1, epoll: -1, ended: make(chan struct{}),
		listening: map[int][]*talk{}, speakers: map[int]*speaker{}, connected: make([]int, len(n.listeners)),
		heard: make([]byte, 256<<10), said: make([]byte, 256<<10),
	}
	ready := make(chan error)
	go func() {
		defer close(p.ended)
		p.err = thread.Do(func() error {
			err := p.open()
			ready <- err
			if err == nil {
				err = p.serve()
			}
			return errors.Join(err, p.closeAll())
		})
	}()
	if err := <-ready; err != nil {
		<-p.ended
		return nil, fmt.Errorf("network namespace for the peers of sockets: %w", err)
	}
	return p, nil
}

// close ends the peers. It may be called for nil.
func (p *peers) close() error {
	if p == nil {
		return nil
	}
	p.stopped.Store(true)
	<-p.ended
	return p.err
}

func (p *peers) open() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := allLocal(); err != nil {
		return err
	}
	var err error
	if p.space, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	p.listenAll()
	return nil
}

// listenAll has peers listen wherever the recording connects to. Where none can, the connect will tell.
func (p *peers) listenAll() {
	at := map[netip.AddrPort]int{}
	for _, t := range p.network.talks {
		if t.internal {
			continue
		}
		fd, known := at[t.address]
		if !known {
			var err error
			if fd, err = p.listen(t.address); err != nil {
				continue
			}
			at[t.address] = fd
		}
		p.listening[fd] = append(p.listening[fd], t)
	}
}

// allLocal makes every address one of this namespace.
func allLocal() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, every, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		route := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: every, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		}
		if err := netlink.RouteAdd(route); err != nil && (every.IP.To4() != nil || !errors.Is(err, unix.EOPNOTSUPP)) {
			return fmt.Errorf("route to all of %s: %w", all, err)
		}
	}
	return nil
}

const backlog = 4096

func (p *peers) listen(at netip.AddrPort) (int, error) {
	family, address := sockaddr(at)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 { // where a local route alone isn't enough
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	}
	if err := errors.Join(err, unix.Bind(fd, address), unix.Listen(fd, backlog), p.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func sockaddr(at netip.AddrPort) (family int, address unix.Sockaddr) {
	if at.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

func (p *peers) watch(how, fd int, events uint32) error {
	return unix.EpollCtl(p.epoll, how, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// serve talks until it is stopped.
func (p *peers) serve() error {
	events := make([]unix.EpollEvent, 256)
	for !p.stopped.Load() {
		patience := p.patience()
		if patience == 0 { // who is to be spoken to may need this CPU
			unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) //nolint:errcheck // it can't fail
		}
		n, err := unix.EpollWait(p.epoll, events, patience)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if err := p.event(int(e.Fd)); err != nil {
				return err
			}
		}
		if err := errors.Join(p.connect(), p.speakLate()); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long to wait for something to hear, in milliseconds: not at all if somebody will speak soon.
func (p *peers) patience() int {
	wait := slice
	if p.toConnect() {
		wait = time.Millisecond
	}
	now := time.Since(p.pass.epoch)
	for _, s := range p.late {
		wait = min(wait, s.due-now-time.Millisecond)
	}
	return int(max(wait, 0).Milliseconds())
}

// speakLate has those speak whose time has come.
func (p *peers) speakLate() error {
	now := time.Since(p.pass.epoch)
	due := p.late
	p.late = nil
	for i, s := range due {
		if s.open {
			p.falls(s)
		}
		if s.due > now {
			p.late = append(p.late, s)
			continue
		}
		s.due = 0
		if p.speakers[s.fd] != s {
			continue
		}
		if err := p.say(s); err != nil {
			p.late = append(p.late, due[i+1:]...)
			return err
		}
	}
	return nil
}

// falls says when a speaker's next step is due. The recording's end may still be in the call that sends what was heard; who has a delay
// speaks so much after its end.
func (p *peers) falls(s *speaker) {
	s.due, s.open = 0, false
	delay := s.talk.steps[s.next].delay
	if delay == 0 || p.pass.speed == 0 {
		return
	}
	sent := time.Duration(p.sent[s.talk.index].Load())
	if s.open = sent < 0; s.open {
		sent = time.Since(p.pass.epoch)
	}
	s.due = sent + time.Duration(float64(delay)/p.pass.speed)
}

func (p *peers) event(fd int) error {
	if _, listens := p.listening[fd]; listens {
		return p.accept(fd)
	}
	s := p.speakers[fd]
	if s == nil {
		return nil
	}
	return p.hear(s)
}

// accept takes connections; one more than the recording's says nothing.
func (p *peers) accept(at int) error {
	for {
		fd, _, err := unix.Accept4(at, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		t := &talk{}
		if left := p.listening[at]; len(left) > 0 {
			t, p.listening[at] = left[0], left[1:]
		}
		if err := p.begin(fd, t); err != nil {
			return err
		}
	}
}

func (p *peers) begin(fd int, t *talk) error {
	s := &speaker{fd: fd, talk: t}
	p.speakers[fd] = s
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := p.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		return err
	}
	return p.speak(s)
}

// hear takes what has come, and answers it.
func (p *peers) hear(s *speaker) error {
	for {
		n, err := unix.Read(s.fd, p.heard)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if n <= 0 { // the recording's end is closed
			delete(p.speakers, s.fd)
			return unix.Close(s.fd)
		}
		s.heard += int64(n)
		if n < len(p.heard) {
			break
		}
	}
	if s.left > 0 {
		return p.say(s)
	}
	return p.speak(s)
}

// speak begins with the next step, if there is one and nobody speaks.
func (p *peers) speak(s *speaker) error {
	if s.left > 0 || s.due > 0 || s.next == len(s.talk.steps) || s.talk.steps[s.next].after > s.heard {
		return nil
	}
	if p.falls(s); s.due > time.Since(p.pass.epoch) {
		p.late = append(p.late, s)
		return nil
	}
	s.due = 0
	return p.say(s)
}

// say says a step, or what is left of one, and begins with the next.
func (p *peers) say(s *speaker) error {
	if s.left == 0 {
		s.left = s.talk.steps[s.next].say
		s.next++
	}
	if s.left == 0 {
		unix.Shutdown(s.fd, unix.SHUT_WR) //nolint:errcheck // the other end may be closed already
	}
	for s.left > 0 {
		n, err := unix.SendmsgN(s.fd, p.said[:min(s.left, int64(len(p.said)))], nil, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EAGAIN) {
			return p.await(s, true)
		}
		if err != nil { // the other end is closed, as hear will see
			s.left, s.next = 0, len(s.talk.steps)
			break
		}
		s.left -= int64(n)
	}
	return errors.Join(p.await(s, false), p.speak(s))
}

// await looks for room, or no more.
func (p *peers) await(s *speaker, room bool) error {
	if s.waits == room {
		return nil
	}
	s.waits = room
	events := uint32(unix.EPOLLIN)
	if room {
		events |= unix.EPOLLOUT
	}
	return p.watch(unix.EPOLL_CTL_MOD, s.fd, events)
}

// toConnect says whether somebody is to connect to the recording.
func (p *peers) toConnect() bool {
	for i, l := range p.network.listeners {
		if p.connected[i] < len(l.talks) {
			return true
		}
	}
	return false
}

// connect connects to the listeners that want it. One that doesn't listen yet is asked again later.
func (p *peers) connect() error {
	for i, l := range p.network.listeners {
		for p.connected[i] < min(len(l.talks), int(p.wanted[i].Load())) {
			fd, err := dial(l.address)
			if err != nil {
				break
			}
			t := l.talks[p.connected[i]]
			p.connected[i]++
			if err := p.begin(fd, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// patience is how long a peer waits for a connection: none takes long within a machine, unless the backlog is full.
var patience = unix.NsecToTimeval(50e6)

func dial(at netip.AddrPort) (int, error) {
	if at.Addr().IsUnspecified() {
		home := netip.IPv6Loopback()
		if at.Addr().Is4() {
			home = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		at = netip.AddrPortFrom(home, at.Port())
	}
	family, address := sockaddr(at)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience))
	if err == nil {
		err = unix.Connect(fd, address)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func (p *peers) closeAll() error {
	var errs []error
	for fd := range p.listening {
		errs = append(errs, unix.Close(fd))
	}
	for fd := range p.speakers {
		errs = append(errs, unix.Close(fd))
	}
	for _, fd := range []int{p.epoll, p.space} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
