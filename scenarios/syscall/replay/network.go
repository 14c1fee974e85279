// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// socket follows a socket's descriptor. Who is at the other end isn't replayed: a connect has nobody to find.
func (p *plan) socket(s *schedule, o *op) {
	c := o.call
	if c.Name != "socket" || c.Result < 0 {
		return
	}
	class := trace.InetStream
	if c.FD != trace.NoFD {
		class = c.FD
	}
	s.process.fds[int32(c.Result)] = &open{
		class: class, cloexec: c.Args[1]&unix.SOCK_CLOEXEC != 0, blocks: c.Args[1]&unix.SOCK_NONBLOCK == 0,
	}
}
