// SPDX-License-Identifier: Apache-2.0

// Package load has kinds of work that load services and machines.
//
//	load/http     asks an HTTP service on this machine, at a rate or as fast as it answers
//	load/service  the same for a service that is built in, and of which is known what a request costs and when it stalls
//	load/replay   asks one of the two for what an access log says, when it says
//	load/nginx, load/redis, load/postgres
//	              start a server of others and load it
//	load/cpu      integer work in threads, all the time or a part of it
//	load/memory   copies memory
//	load/chase    follows pointers through memory
//	load/exec     runs a command of the user's, and reads what it measured from its output
//
// What loads a service is a [generator]: it takes times of arrival (package arrivals) and operators, which are connections, and has an
// operation started at each time. Words that are easily mixed: an operation is due when the schedule says; it begins when an operator
// really starts it, and ends when it is answered. Its latency is end − due. So what users would wait counts, also while all operators
// are busy (it is then queued). Lateness is how much of begin − due is the generator's own fault: the part in which an operator was
// free. A closed loop has no schedule: an operation is due when its operator is free, and a pause of the service is one slow operation
// a connection, however long it is.
//
// The built-in service lives in the process of the generator, and both count in the CPU time of the workload.
package load
