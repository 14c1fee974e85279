// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// descriptors gives the thread's process what it had when the recording began. In a table of its own nothing else stays, so that new
// descriptors get the same numbers as in the recording.
func (r *runner) descriptors() error {
	var err error
	if r.table.private {
		err = r.emptyTable()
	} else {
		err = r.keepOwn()
	}
	if err != nil {
		return err
	}
	if r.schedule.gated {
		return nil
	}
	for recorded, o := range r.schedule.process.inherited {
		live, err := r.inherit(o.shared(), int(recorded))
		if err != nil {
			return fmt.Errorf("descriptor %d that the recording began with: %w", recorded, err)
		}
		r.table.set(int64(recorded), live)
	}
	return nil
}

// emptyTable leaves 0, 1 and 2, and the replay's own, which it moves out of the way.
func (r *runner) emptyTable() error {
	if err := r.keepOwn(); err != nil {
		return err
	}
	next := reserved
	for _, fd := range r.own {
		next = max(next, fd+1)
	}
	if err := unix.CloseRange(0, reserved-1, 0); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	if err := unix.CloseRange(uint(next), math.MaxInt32, 0); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	for want := range 3 {
		if fd, err := unix.Open(r.null, unix.O_RDWR, 0); err != nil || fd != want {
			return fmt.Errorf("open %s as %d: descriptor %d, %w", r.null, want, fd, err)
		}
	}
	return nil
}

// keepOwn duplicates the descriptors that the replay itself needs, to numbers from reserved on.
func (r *runner) keepOwn() error {
	var own []*int
	if r.schedule.forked {
		own = append(own, &r.table.handOn)
	}
	for _, child := range r.children {
		own = append(own, &child.hand)
	}
	next := reserved
	for _, fd := range own {
		moved, err := unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, next)
		if err != nil {
			return fmt.Errorf("descriptor from %d on: %w", next, err)
		}
		*fd = moved
		next = moved + 1
		r.own = append(r.own, moved)
	}
	return nil
}

// inherit opens what stands for a descriptor that the recording began with, with its number where it may.
func (r *runner) inherit(o *open, recorded int) (int, error) {
	name := r.null
	switch o.class {
	case trace.Regular, trace.Directory:
		name = o.path
	}
	flags := unix.O_RDWR
	if o.class == trace.Directory {
		flags = unix.O_RDONLY
	}
	fd, err := r.special(o)
	if fd < 0 && err == nil {
		fd, err = unix.Open(name, flags, 0)
	}
	if err != nil || !r.table.private || recorded >= reserved || fd == recorded {
		return fd, err
	}
	if err := unix.Dup3(fd, recorded, 0); err != nil {
		return -1, err
	}
	return recorded, unix.Close(fd)
}

// special makes what isn't a file: -1 if it's one.
func (r *runner) special(o *open) (int, error) {
	switch {
	case o.class == trace.Epoll:
		return unix.EpollCreate1(0)
	case o.class == trace.EventFD:
		return unix.Eventfd(0, unix.EFD_NONBLOCK)
	case o.listener == nil && o.talk == nil:
		return -1, nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	if o.talk != nil {
		_, address := sockaddr(o.talk.address)
		err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience), unix.Connect(fd, address))
	} else {
		_, address := sockaddr(o.listener.address)
		err = errors.Join(unix.Bind(fd, address), unix.Listen(fd, backlog))
		r.peers.wanted[o.listener.index].Add(1)
	}
	return fd, errors.Join(err, unix.SetNonblock(fd, true))
}

// chore does what has to happen where the recording began a process or thread, or another program.
func (r *runner) chore(o *op) {
	switch o.only {
	case execute:
		for _, fd := range o.closing {
			if live := r.table.get(uint64(fd)); live >= 0 {
				closeFD(live)
				r.table.set(int64(fd), -1)
			}
		}
	case fork:
		child := r.runners[o.begins]
		if child.table != r.table {
			r.failed(r.send(child))
		}
		close(child.begin)
	}
}

// failed keeps the first failure of what the replay itself does.
func (r *runner) failed(err error) {
	if r.err == nil {
		r.err = err
	}
}

// maxRights is how many descriptors go with one message: SCM_MAX_FD.
const maxRights = 253

// send hands all descriptors on to a process that begins, as a fork does. The messages are of the recording's numbers.
func (r *runner) send(child *runner) error {
	var numbers []int32
	var live []int
	flush := func() error {
		bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(numbers))), 4*len(numbers))
		err := unix.Sendmsg(child.hand, bytes, unix.UnixRights(live...), nil, 0)
		numbers, live = numbers[:0], live[:0]
		return err
	}
	for i := range r.table.live {
		if fd := r.table.get(uint64(i)); fd >= 0 {
			numbers, live = append(numbers, int32(i)), append(live, fd)
		}
		if len(live) == maxRights {
			if err := flush(); err != nil {
				return fmt.Errorf("hand on descriptors: %w", err)
			}
		}
	}
	if len(live) > 0 {
		if err := flush(); err != nil {
			return fmt.Errorf("hand on descriptors: %w", err)
		}
	}
	return unix.Shutdown(child.hand, unix.SHUT_WR)
}

// receive takes the descriptors that a parent hands on, and gives them their numbers.
func (r *runner) receive() error {
	if !r.schedule.forked {
		return nil
	}
	numbers := make([]byte, 4*maxRights)
	rights := make([]byte, unix.CmsgSpace(4*maxRights))
	for {
		n, length, _, _, err := unix.Recvmsg(r.table.handOn, numbers, rights, 0)
		if err != nil {
			return fmt.Errorf("take descriptors: %w", err)
		}
		if n == 0 {
			return nil
		}
		messages, err := unix.ParseSocketControlMessage(rights[:length])
		if err != nil || len(messages) == 0 {
			return fmt.Errorf("take descriptors: %w", err)
		}
		live, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return fmt.Errorf("take descriptors: %w", err)
		}
		if err := r.take(numbers[:n], live); err != nil {
			return err
		}
	}
}

// take moves descriptors to their numbers, from the highest down so that none is in the way of one that isn't moved yet.
func (r *runner) take(numbers []byte, live []int) error {
	high := make([]int, len(live))
	for i, fd := range live {
		moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, reserved+100)
		if err != nil {
			return fmt.Errorf("take descriptors: %w", err)
		}
		closeFD(fd)
		high[i] = moved
	}
	for i, fd := range high {
		recorded := int(*(*int32)(unsafe.Pointer(&numbers[4*i])))
		if r.table.private && recorded < reserved {
			if err := unix.Dup3(fd, recorded, 0); err != nil && fd != recorded {
				return fmt.Errorf("take descriptors: %w", err)
			}
			closeFD(fd)
			fd = recorded
		}
		r.table.set(int64(recorded), fd)
	}
	return nil
}
