// SPDX-License-Identifier: Apache-2.0

// Package network has kinds of work that send packets: from one network namespace of this machine to another, over a cable that nobody else
// uses, with a rate limit and random loss where asked for. Package lab makes the namespaces.
//
// Prepare makes the lab, Close removes it. A run makes its own sockets, starts its clock when they are connected, and leaves none behind:
//
//	stream  TCP: the sender writes messages one after the other; an operation is a message that the receiver has in full
//	rr      TCP: the sender writes a request and waits for a response of the same size; an operation is such a round trip
//	crr     TCP: an operation connects, does one such round trip and closes
//	udp     the sender sends datagrams at a rate; an operation is one that arrived, its latency counts from when it was to be sent
//
// The sender and the receiver are goroutines of this process; the system calls and what the kernel does below them are real, and so is
// the work of Go's network poller. Only crr makes sockets while the clock runs, so its sender holds a thread in the namespace for each
// connection.
//
// Each outcome has retransmits_count, the TCP segments that the sender's namespace sent again during the run, and dropped_count, the
// packets that the loss program dropped meanwhile. With loss or a rate limit, connecting, which comes before the clock, can take seconds.
package network
