// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	packetRate  = "packets/s"
	lostPackets = "packets lost"
	lateP50     = "late p50 µs"
	lateP99     = "late p99 µs"

	packetCount = 20_000
	packetGap   = 500 * time.Microsecond // 2,000 packets a second
	replayTime  = 2 * time.Second
	// tcpreplay goes through the file so often, for some two seconds.
	replayLoops = 40
)

// packetSizes are those of the frames, without a checksum: 7 short ones, 4 of middle size and a long one, as is usual in tests of networks.
var packetSizes = []int{60, 60, 60, 60, 60, 60, 60, 590, 590, 590, 590, 1514}

var pcapBenchmark = benchmark{
	name: "pcap",
	about: "20,000 different packets of mixed sizes (60 to 1,514 bytes) from a pcap file over a veth pair between two namespaces, as fast as they go, over and " +
		"over for 2 s, each sender on the last CPU with nice -20. Packets are counted by the device at the far end, times are the sender's own. Lateness, of packets sent at the recorded " +
		"times, is from when a packet was due until it reached the stack at the far end.",
	metrics: []string{packetRate, lostPackets, lateP50, lateP99},
	arms: func(l *lab) []arm {
		replay := func(args ...string) func() (values, error) {
			return func() (values, error) { return replayAssay(l, args...) }
		}
		return []arm{
			{"tcpreplay", func() (values, error) { return replayPeer(l) }},
			{"assay xdp", replay("pace=top", "send=xdp")},
			{"assay packet", replay("pace=top", "send=packet")},
			{"assay 2,000/s", replay("pace=recorded")},
			{"assay 20,000/s", replay("pace=recorded", "speed=10")},
		}
	},
	claims: []claim{
		{metric: packetRate, arm: "assay xdp", over: "tcpreplay", limit: 1.5, least: true},
		{metric: packetRate, arm: "assay packet", over: "tcpreplay"},
		{metric: lateP99, arm: "assay 2,000/s", limit: 50},
		{metric: lateP99, arm: "assay 20,000/s", limit: 50},
	},
}

// writePackets makes the file, once.
func (l *lab) writePackets() (path string, err error) {
	path = l.path("packets.pcap")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	out := bufio.NewWriter(f)
	w := pcapgo.NewWriterNanos(out)
	err = w.WriteFileHeader(1<<16, layers.LinkTypeEthernet)
	for i := range packetCount {
		frame := packet(i)
		at := time.Unix(1, 0).Add(time.Duration(i) * packetGap)
		err = errors.Join(err, w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame))
	}
	return path, errors.Join(err, out.Flush(), f.Close())
}

// packet is a UDP datagram in a frame; its number is in it.
func packet(i int) []byte {
	const ether, ip, udp = 14, 20, 8
	b := make([]byte, packetSizes[i%len(packetSizes)])
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45})
	binary.BigEndian.PutUint16(b[ether+2:], uint16(len(b)-ether))
	copy(b[ether+8:], []byte{64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[ether+ip+4:], uint16(len(b)-ether-ip))
	binary.BigEndian.PutUint32(b[ether+ip+udp:], uint32(i))
	return b
}

// onLastCPU is a command that runs there, before what else there is to do.
func onLastCPU(command ...string) []string {
	return append([]string{"taskset", "-c", strconv.Itoa(runtime.NumCPU() - 1), "nice", "-n", "-20"}, command...)
}

// replayAssay runs a trial of network/replay with parameters.
func replayAssay(l *lab, params ...string) (values, error) {
	file, err := l.writePackets()
	if err != nil {
		return nil, err
	}
	records := l.path("replay.jsonl")
	if err := os.RemoveAll(records); err != nil {
		return nil, err
	}
	args := onLastCPU(l.assay, "run", "network/replay", "--warmup", "0s", "-d", replayTime.String(), "--max-blocks", "1", "-q", "-o", records)
	for _, p := range append(params, "file="+file) {
		args = append(args, "--set", p)
	}
	if err := command(args[0], args[1:]...); err != nil {
		return nil, err
	}
	lines, err := os.ReadFile(records)
	if err != nil {
		return nil, err
	}
	return parseReplay(string(lines))
}

// parseReplay reads what the baseline measured from the records of assay run.
func parseReplay(lines string) (values, error) {
	for line := range strings.Lines(lines) {
		var r struct {
			Arm        string `json:"arm"`
			DurationNS int64  `json:"duration_ns"`
			Failed     string `json:"failed"`
			Metrics    map[string]struct {
				Value float64 `json:"value"`
			} `json:"metrics"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("records of assay run: %w", err)
		}
		if r.Arm != "baseline" {
			continue
		}
		if r.Failed != "" || r.DurationNS <= 0 {
			return nil, fmt.Errorf("records of assay run: a trial of %d ns, %q", r.DurationNS, r.Failed)
		}
		v := values{
			packetRate:  r.Metrics["arrived_count"].Value / time.Duration(r.DurationNS).Seconds(),
			lostPackets: r.Metrics["lost_count"].Value,
		}
		if late, ok := r.Metrics["arrival_error_p99_ns"]; ok {
			v[lateP50], v[lateP99] = r.Metrics["arrival_error_p50_ns"].Value/1e3, late.Value/1e3
		}
		return v, nil
	}
	return nil, errors.New("records of assay run: no baseline")
}

// replayPeer runs tcpreplay in a namespace, towards another.
func replayPeer(l *lab) (_ values, err error) {
	file, err := l.writePackets()
	if err != nil {
		return nil, err
	}
	c, err := newCable()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.remove()) }()
	before, err := c.arrived()
	if err != nil {
		return nil, err
	}
	args := append([]string{"netns", "exec", c.sender}, onLastCPU("tcpreplay", "-K", "--topspeed", "--loop", strconv.Itoa(replayLoops), "-i", cableName, file)...)
	said, err := output("ip", args...)
	if err != nil {
		return nil, err
	}
	seconds, err := parseTcpreplay(said)
	if err != nil {
		return nil, err
	}
	after, err := c.arrived()
	if err != nil {
		return nil, err
	}
	return values{packetRate: (after - before) / seconds, lostPackets: packetCount*replayLoops - (after - before)}, nil
}

var sentIn = regexp.MustCompile(`sent in ([0-9.]+) seconds`)

// parseTcpreplay reads how long tcpreplay says that it sent.
func parseTcpreplay(out string) (seconds float64, err error) {
	return parseMatch(sentIn, out, "seconds of tcpreplay")
}

// A cable is a veth pair between two namespaces, on which the kernel says nothing of its own.
type cable struct{ sender, receiver string }

const (
	cableName = "peer0"
	// The ends must not have the same index, or the kernel takes up to a second to see that they are joined.
	cableIndex = "10"
)

func newCable() (*cable, error) {
	c := &cable{fmt.Sprintf("peers-%d-s", os.Getpid()), fmt.Sprintf("peers-%d-r", os.Getpid())}
	quiet := "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
	for _, args := range [][]string{
		{"netns", "add", c.sender},
		{"netns", "add", c.receiver},
		{"netns", "exec", c.sender, "sh", "-c", quiet},
		{"netns", "exec", c.receiver, "sh", "-c", quiet},
		{"-n", c.sender, "link", "add", cableName, "index", cableIndex, "type", "veth", "peer", "name", cableName, "netns", c.receiver},
		{"-n", c.sender, "link", "set", cableName, "up"},
		{"-n", c.receiver, "link", "set", cableName, "up"},
	} {
		if err := command("ip", args...); err != nil {
			return nil, errors.Join(err, c.remove())
		}
	}
	time.Sleep(settle)
	return c, nil
}

// arrived is how many packets the receiver's end has had.
func (c *cable) arrived() (float64, error) {
	said, err := output("ip", "netns", "exec", c.receiver, "cat", "/sys/class/net/"+cableName+"/statistics/rx_packets")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(said), 64)
}

// remove removes the namespaces, and the cable with them.
func (c *cable) remove() error {
	return errors.Join(command("ip", "netns", "del", c.sender), command("ip", "netns", "del", c.receiver))
}
