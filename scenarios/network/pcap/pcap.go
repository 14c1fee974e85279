// SPDX-License-Identifier: Apache-2.0

// Package pcap reads recordings of packets, pcap and pcapng, into memory, as Ethernet frames to be sent again.
//
// The file may come from anywhere: what is read and what is kept have bounds, a packet that can't be sent is left out and counted, and a file
// that breaks off gives the packets before that.
package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Bounds of a recording.
const (
	MinFrame = etherHeader                // bytes: shorter ones no device takes
	MaxFrame = 65535 + etherHeader        // bytes: the longest IP packet
	maxBytes = 1 << 30                    // that are read of a file, and that the frames have together
	maxCount = 1 << 24                    // frames
	maxDue   = 100 * 365 * 24 * time.Hour // within which a due time can be multiplied and added without care
)

const etherHeader = 14

// A Recording is what a file has. Frames are in the order of the file.
type Recording struct {
	data   []byte
	frames []frame

	Longest   int  // bytes in the longest frame
	Snapped   int  // frames of which only the beginning was recorded; zeros follow, up to their length
	Backwards int  // packets with a time before that of one before; they are due with that
	RawIP     bool // some packets had no Ethernet header and got one
	// What is not among the frames: packets too short or too long to be sent, those of link types other than Ethernet and raw IP, and one of these.
	BadLength int
	OtherLink int
	Other     layers.LinkType
	// Broken says where and why reading ended before the end of the file; nil when all was read.
	Broken error
}

type frame struct {
	start  int
	length int
	due    time.Duration
}

// Len returns the number of frames.
func (r *Recording) Len() int { return len(r.frames) }

// Bytes returns the number of bytes of all frames together.
func (r *Recording) Bytes() int { return len(r.data) }

// Frame returns the i-th frame, which the recording goes on owning.
func (r *Recording) Frame(i int) []byte {
	f := r.frames[i]
	return r.data[f.start : f.start+f.length : f.start+f.length]
}

// Due returns when the i-th frame was recorded, counted from the first. It is never less than that of the frame before.
func (r *Recording) Due(i int) time.Duration { return r.frames[i].due }

// Span returns the time from the first frame to the last.
func (r *Recording) Span() time.Duration { return r.frames[len(r.frames)-1].due }

// Open reads a file, which has to be a regular one. An error says why there is nothing to send.
func Open(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; want a pcap or pcapng file", path)
	}
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// source reads the packets of a file one after the other. The bytes hold until the next.
type source interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// Read reads a recording. An error says why it has no frame.
func Read(from io.Reader) (*Recording, error) {
	limited := &io.LimitedReader{R: from, N: maxBytes}
	packets, link, err := open(limited)
	if err != nil {
		return nil, err
	}
	r := &Recording{}
	if err := r.readAll(packets, link); !errors.Is(err, io.EOF) {
		r.Broken = fmt.Errorf("after packet %d: %w", r.count(), err)
	} else if limited.N == 0 {
		r.Broken = fmt.Errorf("after packet %d: the file has more than %d MiB", r.count(), maxBytes>>20)
	}
	if len(r.frames) == 0 {
		return nil, r.empty()
	}
	return r, nil
}

// count returns how many packets were read.
func (r *Recording) count() int { return len(r.frames) + r.BadLength + r.OtherLink }

// empty says why there is no frame.
func (r *Recording) empty() error {
	switch {
	case r.OtherLink > 0:
		return fmt.Errorf("packets of link type %s; want Ethernet or raw IP", r.Other)
	case r.BadLength > 0:
		return fmt.Errorf("no packet of %d to %d bytes; want some to send", MinFrame, MaxFrame)
	case r.Broken != nil:
		return fmt.Errorf("no whole packet: %w", r.Broken)
	}
	return errors.New("no packets; want some to send")
}

const (
	gzipMagic = 0x1f8b
	ngMagic   = 0x0a0d0d0a
)

// open looks what format it is. The link type is that of all packets of a pcap file; a packet of pcapng tells its own.
func open(from io.Reader) (source, layers.LinkType, error) {
	text := bufio.NewReader(from)
	magic, err := text.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	switch {
	case len(magic) < 4:
		return nil, 0, fmt.Errorf("%d bytes; want a pcap or pcapng file", len(magic))
	case binary.BigEndian.Uint16(magic) == gzipMagic: // unpacked it may be of any size
		return nil, 0, errors.New("compressed by gzip; unpack it first: gunzip FILE")
	case binary.BigEndian.Uint32(magic) == ngMagic:
		r, err := pcapgo.NewNgReader(text, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, 0, fmt.Errorf("pcapng: %w", unexpected(err))
		}
		return r, 0, nil
	}
	r, err := pcapgo.NewReader(text)
	if err != nil {
		return nil, 0, fmt.Errorf("%w; want a pcap or pcapng file", unexpected(err))
	}
	return r, r.LinkType(), nil
}

// unexpected is an error in a place where the file should not end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readAll reads packets to the end, which is an error too: io.EOF when all is well.
func (r *Recording) readAll(packets source, link layers.LinkType) error {
	var clock clock
	for {
		data, info, err := packets.ZeroCopyReadPacketData()
		if err != nil {
			if len(data) > 0 { // a pcap file that ends just behind the head of a packet gives io.EOF
				err = unexpected(err)
			}
			return err
		}
		if len(info.AncillaryData) > 0 {
			link, _ = info.AncillaryData[0].(layers.LinkType)
		}
		if len(r.frames) == maxCount {
			return fmt.Errorf("the file has more than %d packets", maxCount)
		}
		header, ok := headerFor(link, data)
		length := len(header) + info.Length
		switch {
		case !ok:
			r.OtherLink++
			r.Other = link
			continue
		case length < MinFrame || length > MaxFrame || len(data) > info.Length:
			r.BadLength++
			continue
		case len(r.data)+length > maxBytes:
			return fmt.Errorf("its packets have more than %d MiB", maxBytes>>20)
		}
		due, backwards := clock.due(info.Timestamp)
		if backwards {
			r.Backwards++
		}
		r.add(header, data, frame{start: len(r.data), length: length, due: due})
	}
}

// add keeps a frame.
func (r *Recording) add(header, data []byte, f frame) {
	r.data = append(append(r.data, header...), data...)
	if missing := f.start + f.length - len(r.data); missing > 0 {
		r.data = append(r.data, make([]byte, missing)...)
		r.Snapped++
	}
	r.RawIP = r.RawIP || len(header) > 0
	r.Longest = max(r.Longest, f.length)
	r.frames = append(r.frames, f)
}

// A clock turns times of recording into due times.
type clock struct {
	started bool
	first   time.Time
	last    time.Duration
}

func (c *clock) due(at time.Time) (due time.Duration, backwards bool) {
	if !c.started {
		c.started, c.first = true, at
	}
	due = min(at.Sub(c.first), maxDue)
	backwards = due < c.last
	c.last = max(c.last, due)
	return c.last, backwards
}

// Headers for raw IP packets. The addresses are locally administered ones that nobody has.
var (
	headerIPv4 = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00}
	headerIPv6 = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}
)

// Link types of raw IP (https://www.tcpdump.org/linktypes.html); the first two are what DLT_RAW is on some systems.
const (
	rawBSD     = layers.LinkType(12)
	rawOpenBSD = layers.LinkType(14)
)

// headerFor returns what has to come before a packet to make it a frame. It is false for link types that we don't send.
func headerFor(link layers.LinkType, packet []byte) ([]byte, bool) {
	switch link {
	case layers.LinkTypeEthernet:
		return nil, true
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, rawBSD, rawOpenBSD:
		if len(packet) > 0 && packet[0]>>4 == 6 {
			return headerIPv6, true
		}
		return headerIPv4, true
	}
	return nil, false
}
