// SPDX-License-Identifier: Apache-2.0

// Package lab makes two network namespaces joined by a cable, and takes them away again, so that traffic to be measured stays on this
// machine and meets no other traffic.
//
// A space is a network namespace with one end of the cable (a veth pair). One space is the sender, the other the receiver; both can
// send, the words only say where the limits are: a rate limit (tbf) where the sender's packets leave, a loss program (eBPF, at tcx, or at
// clsact before kernel 6.6) where the receiver's packets arrive. With a delay, the cable is two TAP devices and we carry what is between them.
//
// Spaces have names as those of `ip netns`, assay-PID-N, in /run/netns: `ip netns exec` looks into them, and what a killed run left behind
// is found by CleanUp, which New calls first. The directory itself is made when it is missing, and stays, as it does with ip.
package lab
