// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// A network is the addresses of a recording, and who answers at them.
type network struct {
	addresses map[string]*address
}

// An address of the recording stands for one of the replay's.
type address struct {
	name   string
	inside bool // bound in the recording
}

// An endpoint is a socket's or pipe's end, as the plan follows it.
type endpoint struct {
	peer *connection // who is at its other end, if that isn't in the recording
}

// A connection is what an end outside of the recording says, and when.
type connection struct{}

func newNetwork() *network { return &network{addresses: map[string]*address{}} }

func (e *endpoint) connection() *connection {
	if e == nil {
		return nil
	}
	return e.peer
}

func (e *endpoint) transferred(*trace.Call) {}

func (n *network) inherit(*open) {}

func (p *plan) socket(s *schedule, o *op) {
	c := o.call
	if c.Name == "socket" && c.Result >= 0 {
		class := trace.InetStream
		if c.FD != trace.NoFD {
			class = c.FD
		}
		s.process.fds[int32(c.Result)] = &open{
			class: class, cloexec: c.Args[1]&unix.SOCK_CLOEXEC != 0, blocks: c.Args[1]&unix.SOCK_NONBLOCK == 0, socket: &endpoint{},
		}
	}
}
