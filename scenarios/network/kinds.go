// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"slices"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network/lab"
)

// Kinds returns the kinds of work that this package has.
func Kinds() []scenarios.Kind {
	return []scenarios.Kind{
		kind("network/stream", "Sends messages over TCP connections, as fast as they go.", stream, congestion, size("64K", 1, maxMessage)),
		kind("network/rr", "Sends a request over a TCP connection and waits for the response, again and again.", roundTrips,
			congestion, size("64", 1, maxMessage)),
		kind("network/crr", "Connects over TCP, sends a request, waits for the response and closes, again and again.", connectRoundTrips,
			congestion, size("64", 1, maxMessage)),
		kind("network/udp", "Sends UDP datagrams at a steady rate.", datagrams, rate, size("64", headerBytes, maxDatagram)),
		replayKind(),
	}
}

const (
	maxMessage = 16 << 20
	// The longest datagram that is not cut in two, with an IPv6 and a UDP header before it.
	maxDatagram = lab.MTU - 40 - 8
)

// kind makes a kind of work that needs a lab, with the parameters that all have and its own.
func kind(name, about string, run runner, own ...scenarios.Param) scenarios.Kind {
	return scenarios.Kind{
		Name: name, About: about, Params: slices.Concat(common, own), Needs: []scenarios.Need{scenarios.NeedRoot}, InSpace: inLab,
		New: func(v scenarios.Values) (scenarios.Workload, error) { return newWorkload(v, run) },
	}
}

// inLab runs f in a lab of its own.
func inLab(f func() error) error {
	l, err := lab.New(lab.Options{})
	if err != nil {
		return err
	}
	return errors.Join(l.Sender.Do(f), l.Close())
}

var common = []scenarios.Param{
	{Name: "family", Type: scenarios.Choice, Default: "ipv4", Choices: []string{"ipv4", "ipv6"}, About: "version of IP"},
	{Name: "connections", Type: scenarios.Int, Default: "1", Min: 1, Max: 256, About: "connections, or UDP sockets, used at once"},
	{Name: "rate_limit", Type: scenarios.Text, Default: "0", About: "most bits per second that leave the sender, such as 100mbit; 0 for no limit"},
	{Name: "loss", Type: scenarios.Float, Default: "0", Min: 0, Max: 0.5, About: "probability that a packet to the receiver is lost"},
	{
		Name: "delay", Type: scenarios.Duration, Default: "0s", Min: 0, Max: 10,
		About: "time that each packet is on the way, so half of what a round trip takes more",
	},
}

var (
	congestion = scenarios.Param{
		Name: "congestion", Type: scenarios.Text,
		About: "TCP congestion control, such as reno, cubic or bbr; empty for the kernel's default",
	}
	rate = scenarios.Param{
		Name: "rate", Type: scenarios.Int, Default: "10000", Min: 1, Max: 10e6, About: "datagrams sent per second, over all connections",
	}
)

func size(standard string, least, most float64) scenarios.Param {
	return scenarios.Param{Name: "size", Type: scenarios.Size, Default: standard, Min: least, Max: most, About: "bytes in a message"}
}
