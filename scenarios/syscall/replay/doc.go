// SPDX-License-Identifier: Apache-2.0

// Package replay makes the system calls of a recording again, and says how near their number and times came to the recorded ones.
//
// In order: the plan follows the recording call by call (plan.go, follow.go) and infers which files were there before it, and of which
// size (files.go). Each replay makes them anew in a folder (folder.go), and has a thread for each recorded thread, whose root is that
// folder (thread.go): no path leads out of it, since the kernel looks it up. A recorded process of one thread has a table of descriptors
// of its own, in which they get the recorded numbers; threads of one process share the program's table and go by a map (descriptors.go).
// The threads make raw calls and read the clock before and after each (run.go); what the clock and the way into the kernel take is
// measured with getpid and taken away (fidelity.go).
//
// What would change or end the process is left out, or a harmless call stands for it (table.go); so are waits for others, which last as
// long as in the recording, and for a process, until that has ended here. A read that may wait does so for a bounded time before the call, and isn't made if nothing comes.
//
// Internet sockets are in a network namespace of the replay's own, which has every address and from which nothing leads out. Where the
// other end of a TCP connection isn't in the recording, a peer stands for it (network.go, peers.go): it says as much as the recording
// received, when it has heard as much as the recording had sent, and as long after that. Datagrams and netlink find nobody, and are left out.
package replay
