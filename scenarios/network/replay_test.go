// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network/lab/leaktest"
)

const (
	testFrames = 200
	testGap    = 300 * time.Microsecond
)

// testFrame is a frame of no protocol that any stack answers to, of a length and with bytes that are its own.
func testFrame(i int) []byte {
	frame := make([]byte, 60+(i*37)%2000)
	copy(frame, []byte{0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 0x88, 0xb5}) // IEEE 802: for local experiments
	for j := etherHeader; j < len(frame); j++ {
		frame[j] = byte(i + j)
	}
	return frame
}

// writeRecording makes a pcap of the test's frames, and more.
func writeRecording(t *testing.T, more ...[]byte) string {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	err := w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	frames := make([][]byte, testFrames, testFrames+len(more))
	for i := range frames {
		frames[i] = testFrame(i)
	}
	for i, frame := range append(frames, more...) {
		at := time.Unix(1, 0).Add(time.Duration(i) * testGap)
		err = errors.Join(err, w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame))
	}
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err = errors.Join(err, os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// newReplay makes a replay of the test's recording that is ready.
func newReplay(t *testing.T, params map[string]string) *replaying {
	t.Helper()
	leaktest.Check(t)
	if params["file"] == "" {
		params["file"] = writeRecording(t)
	}
	k := replayKind()
	values, err := k.Check(params)
	if err != nil {
		t.Fatal(err)
	}
	w, err := k.New(values)
	if err == nil {
		err = w.Prepare(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	return w.(*replaying)
}

// capture opens a socket that gets all frames which arrive at the receiver.
func capture(t *testing.T, r *replaying) (fd int) {
	t.Helper()
	err := r.lab.Receiver.Do(func() (err error) {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, all); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) }) //nolint:errcheck // it was only read
	return fd
}

// TestReplay wants each frame of a recording to arrive once, whole and in order, at any pace.
func TestReplay(t *testing.T) {
	for pace, d := range map[string]time.Duration{
		"recorded": (testFrames-1)*testGap + testGap/2, "rate": testFrames*time.Millisecond/4 - time.Millisecond/8, "top": time.Nanosecond,
	} {
		t.Run(pace, func(t *testing.T) {
			r := newReplay(t, map[string]string{"pace": pace, "rate": "4000", "send": "packet"})
			fd := capture(t, r)
			o, err := r.Run(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			want := int64(testFrames)
			if pace == "top" {
				want = maxBatch // the time was over after the first
			}
			if o.Operations != want || o.Values["arrived_count"] != float64(want) || o.Values["lost_count"] != 0 || o.Values["passes_count"] != 1 || o.Errors != 0 {
				t.Errorf("%d sent, %d refused, %v", o.Operations, o.Errors, o.Values)
			}
			if pace != "top" && (o.Lateness.TotalCount() != want || o.Elapsed < d-testGap) {
				t.Errorf("%d times of lateness, in %s", o.Lateness.TotalCount(), o.Elapsed)
			}
			checkFrames(t, fd, int(want))
		})
	}
}

// checkFrames wants a number of frames to have arrived, those of the test's recording in order, over and over, and no other.
func checkFrames(t *testing.T, fd, want int) {
	t.Helper()
	got := make([]byte, 1<<16)
	for i := range want {
		n, err := unix.Read(fd, got)
		if err != nil || !bytes.Equal(got[:n], testFrame(i%testFrames)) {
			t.Fatalf("frame %d: %d bytes, %v", i, n, err)
		}
	}
	if n, err := unix.Read(fd, got); err != unix.EAGAIN {
		t.Errorf("a frame of %d bytes too many, %v", n, err)
	}
}

// TestReplayLive wants the same of frames that an XDP program sends, interrupted and over the end of the recording, and then to count what it sends.
func TestReplayLive(t *testing.T) {
	r := newReplay(t, map[string]string{"pace": "top", "send": "xdp"})
	fd := capture(t, r)
	const some = 5*testFrames + 7
	for range 2 { // each from the first frame
		err := r.lab.Sender.Do(func() error {
			defer interrupt(t, unix.Gettid())()
			return errors.Join(r.live.begin(), r.live.allow(some), r.live.run(some+5))
		})
		if sent, _, err2 := r.live.sent(); err != nil || err2 != nil || sent != some {
			t.Fatalf("%d sent, %v, %v", sent, err, err2)
		}
		checkFrames(t, fd, some)
	}
	whole := 0
	for i := range testFrames {
		whole += len(testFrame(i))
	}
	for _, d := range []time.Duration{time.Nanosecond, 200 * time.Millisecond} {
		o, err := r.Run(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		v := o.Values
		if o.Operations < maxBatch || v["arrived_count"] != float64(o.Operations) || v["lost_count"] != 0 || o.Elapsed <= 0 || o.Lateness != nil || len(o.Notes) != 0 {
			t.Errorf("%s: %+v", d, o)
		}
		passes := (int(o.Operations) + testFrames - 1) / testFrames
		if v["passes_count"] != float64(passes) || v["arrived_bytes"] != v["sent_bytes"] ||
			v["sent_bytes"] > float64(passes*whole) || v["sent_bytes"] <= float64((passes-1)*whole) {
			t.Errorf("%s: %d packets, %v", d, o.Operations, v)
		}
	}
}

// interrupt sends a thread a signal now and then, which breaks off what it does in the kernel, until stop.
func interrupt(t *testing.T, tid int) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 { // not for ever, or nothing would end
			time.Sleep(7 * time.Millisecond)
			if err := unix.Tgkill(os.Getpid(), tid, unix.SIGURG); err != nil { // which Go takes for its own
				t.Error(err)
			}
		}
	}()
	return func() { <-done }
}

// TestReplaySpeed counts the passes that fit into a time.
func TestReplaySpeed(t *testing.T) {
	r := newReplay(t, map[string]string{"speed": "4"})
	const d = testFrames * testGap // of which a pass takes a quarter
	o, err := r.Run(t.Context(), d-testGap)
	if err != nil || o.Operations < 4*testFrames-8 || o.Operations > 4*testFrames || o.Values["passes_count"] != 4 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, error := range []string{"timing_error", "arrival_error"} {
		if p50, p99 := o.Values[error+"_p50_ns"], o.Values[error+"_p99_ns"]; p50 <= 0 || p99 < p50 {
			t.Errorf("%s %g, %g ns", error, p50, p99)
		}
	}
	if o.Values["arrival_error_p50_ns"] < o.Values["timing_error_p50_ns"] {
		t.Errorf("packets arrived before they were sent: %v", o.Values)
	}
}

// TestReplayLong has frames that no page has room for: by itself it takes the other way and says so, but not where it was told how to send.
func TestReplayLong(t *testing.T) {
	for _, length := range []int{maxLiveFrame - 100, maxLiveFrame + 100} { // by the kernel's bound, by ours
		path := writeRecording(t, make([]byte, length))
		r := newReplay(t, map[string]string{"pace": "top", "file": path})
		o, err := r.Run(t.Context(), time.Nanosecond)
		if err != nil || o.Operations != maxBatch || o.Values["lost_count"] != 0 {
			t.Errorf("%d bytes: %+v, %v", length, o, err)
		}
		if len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "sent by a packet socket") || strings.Contains(o.Notes[0], "\n") {
			t.Errorf("%d bytes: notes %q", length, o.Notes)
		}
		refused := &replaying{file: path, pace: "top", how: "xdp"}
		if err := refused.Prepare(t.Context()); err == nil || strings.Contains(err.Error(), "\n") || refused.lab != nil {
			t.Errorf("%d bytes, only XDP: %v", length, err)
		}
	}
}

func TestReplayRefuses(t *testing.T) {
	leaktest.Check(t)
	k := replayKind()
	if _, err := k.New(scenarios.Values{"file": ""}); err == nil || !strings.Contains(err.Error(), "want a recording of packets") {
		t.Errorf("no file: %v", err)
	}
	if _, err := k.New(scenarios.Values{"file": "x", "pace": "rate", "send": "xdp"}); err == nil || !strings.Contains(err.Error(), "want pace top") {
		t.Errorf("XDP at a rate: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no packets here"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/no/such/file", text} {
		r := &replaying{file: path}
		if err := r.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := r.Run(t.Context(), time.Second); err == nil {
			t.Error("ran without preparation")
		}
	}
}
