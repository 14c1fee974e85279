// SPDX-License-Identifier: Apache-2.0

package pcap_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/assaylab/assay/scenarios/network/pcap"
)

var began = time.Unix(1_700_000_000, 123_456_789)

// A packet is what a test writes.
type packet struct {
	at   time.Duration
	data []byte
	full int // length before it was snapped; 0: all is there
}

func (p packet) info() gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: began.Add(p.at), CaptureLength: len(p.data), Length: max(p.full, len(p.data))}
}

func ether(n int) []byte { return bytes.Repeat([]byte{0xab}, n) }

// write makes a file, in pcap or pcapng.
func write(t testing.TB, ng bool, link layers.LinkType, packets ...packet) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	var put func(gopacket.CaptureInfo, []byte) error
	flush := func() error { return nil }
	if ng {
		w, newErr := pcapgo.NewNgWriter(&out, link)
		put, flush, err = w.WritePacket, w.Flush, newErr
	} else {
		w := pcapgo.NewWriterNanos(&out)
		put, err = w.WritePacket, w.WriteFileHeader(65535, link)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if err := put(p.info(), p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t *testing.T, file []byte) *pcap.Recording {
	t.Helper()
	r, err := pcap.Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRead gives back what the library's writer wrote, in both formats.
func TestRead(t *testing.T) {
	packets := []packet{
		{0, ether(14), 0},
		{time.Microsecond + 7, ether(60), 0},
		{time.Second, ether(1514), 0},
		{time.Millisecond, ether(61), 0}, // backwards
		{2 * time.Second, ether(20), 100},
		{3 * time.Second, ether(13), 0}, // too short
	}
	due := []time.Duration{0, time.Microsecond + 7, time.Second, time.Second, 2 * time.Second}
	for _, ng := range []bool{false, true} {
		r := read(t, write(t, ng, layers.LinkTypeEthernet, packets...))
		if r.Len() != 5 || r.Longest != 1514 || r.Snapped != 1 || r.Backwards != 1 || r.BadLength != 1 || r.OtherLink != 0 || r.Broken != nil ||
			r.RawIP || r.Bytes() != 14+60+1514+61+100 || r.Span() != 2*time.Second {
			t.Errorf("pcapng %t: %d frames, %+v", ng, r.Len(), *r)
		}
		for i := range due {
			want := append(bytes.Clone(packets[i].data), make([]byte, max(0, packets[i].full-len(packets[i].data)))...)
			if !bytes.Equal(r.Frame(i), want) || r.Due(i) != due[i] {
				t.Errorf("pcapng %t, frame %d: due %s, want %s; %x, want %x", ng, i, r.Due(i), due[i], r.Frame(i), want)
			}
		}
	}
}

// TestRawIP wants an Ethernet header by the packet's version of IP.
func TestRawIP(t *testing.T) {
	four, six := append([]byte{0x45}, ether(19)...), append([]byte{0x60}, ether(39)...)
	for _, link := range []layers.LinkType{layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14} {
		r := read(t, write(t, false, link, packet{data: four}, packet{data: six}))
		for i, want := range []struct {
			etherType uint16
			packet    []byte
		}{{0x0800, four}, {0x86dd, six}} {
			f := r.Frame(i)
			if binary.BigEndian.Uint16(f[12:]) != want.etherType || !bytes.Equal(f[14:], want.packet) || !r.RawIP {
				t.Errorf("%s, frame %d: %x", link, i, f)
			}
		}
	}
}

// TestMixed leaves out, and counts, packets of a link type that can't be sent.
func TestMixed(t *testing.T) {
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.AddInterface(pcapgo.NgInterface{LinkType: layers.LinkTypeLinuxSLL})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{60, 70, 80} {
		info := packet{data: ether(n)}.info()
		info.InterfaceIndex = i % 2 * other
		if err := w.WritePacket(info, ether(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r := read(t, out.Bytes())
	if r.Len() != 2 || r.OtherLink != 1 || r.Other != layers.LinkTypeLinuxSLL || len(r.Frame(1)) != 80 {
		t.Errorf("%d frames, %d of another link type, %s", r.Len(), r.OtherLink, r.Other)
	}
}

// TestTruncated cuts a file at each byte: the packets that are whole before are there, and only a cut between packets goes unnoticed.
func TestTruncated(t *testing.T) {
	for _, ng := range []bool{false, true} {
		one := write(t, ng, layers.LinkTypeEthernet, packet{data: ether(60)})
		two := write(t, ng, layers.LinkTypeEthernet, packet{data: ether(60)}, packet{data: ether(62), at: time.Second})
		for n := len(one); n < len(two); n++ {
			r := read(t, two[:n])
			if r.Len() != 1 || (r.Broken == nil) != (n == len(one)) {
				t.Errorf("pcapng %t, %d of %d bytes: %d frames, broken: %v", ng, n, len(two), r.Len(), r.Broken)
			}
		}
		for n := range one {
			if _, err := pcap.Read(bytes.NewReader(one[:n])); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("pcapng %t, %d of %d bytes: %v; want an error of one line", ng, n, len(one), err)
			}
		}
	}
}

// TestErrors wants each file without a frame told in one line.
func TestErrors(t *testing.T) {
	huge := write(t, false, layers.LinkTypeEthernet, packet{data: ether(60)})
	binary.LittleEndian.PutUint32(huge[24+8:], 1<<31)
	for want, file := range map[string][]byte{
		"0 bytes; want a pcap or pcapng file": nil,
		"Unknown magic":                       []byte("GET / HTTP/1.1\r\nHost: example.com\r\n"),
		"gunzip FILE":                         {0x1f, 0x8b, 8, 0, 0, 0, 0, 0},
		"no packets; want some to send":       write(t, false, layers.LinkTypeEthernet),
		"packets of link type Linux SLL; want Ethernet or raw IP": write(t, true, layers.LinkTypeLinuxSLL, packet{data: ether(60)}),
		"no packet of 14 to 65549 bytes":                          write(t, false, layers.LinkTypeEthernet, packet{data: ether(13)}, packet{data: ether(60), full: 65550}),
		"no whole packet: after packet 0: capture length exceeds": huge,
	} {
		_, err := pcap.Read(bytes.NewReader(file))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want one line with %q", err, want)
		}
	}
}

// TestOpen wants a regular file.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcap")
	if err := os.WriteFile(path, write(t, true, layers.LinkTypeEthernet, packet{data: ether(60)}), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := pcap.Open(path); err != nil || r.Len() != 1 {
		t.Errorf("%v", err)
	}
	for path, want := range map[string]string{"/dev/zero": "no regular file", path + "ng": "no such file", "/dev": "no regular file"} {
		if _, err := pcap.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// FuzzRead wants any bytes read without panic, and what is there to be within its bounds.
func FuzzRead(f *testing.F) {
	for _, ng := range []bool{false, true} {
		for _, link := range []layers.LinkType{layers.LinkTypeEthernet, layers.LinkTypeRaw, layers.LinkTypeLinuxSLL} {
			f.Add(write(f, ng, link, packet{data: ether(60)}, packet{data: ether(20), full: 80, at: time.Second}, packet{data: ether(61)}))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := pcap.Read(bytes.NewReader(file))
		if err != nil {
			return
		}
		var last time.Duration
		for i := range r.Len() {
			if n := len(r.Frame(i)); n < pcap.MinFrame || n > r.Longest || r.Longest > pcap.MaxFrame || r.Due(i) < last {
				t.Fatalf("frame %d: %d bytes, due %s after %s", i, n, r.Due(i), last)
			}
			last = r.Due(i)
		}
	})
}
