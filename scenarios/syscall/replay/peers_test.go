// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/network/lab/leaktest"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// TestPeers replays connections with another end that isn't in the recording: all calls must be made and have the recorded results.
func TestPeers(t *testing.T) {
	const stream = trace.InetStream
	again := -int64(unix.EAGAIN)
	open := trace.Call{Name: "socket", Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, Result: 3, FD: stream}
	listen := []trace.Call{
		open,
		{Name: "bind", Args: [6]uint64{3}, Path: "0.0.0.0:80", FD: stream},
		{Name: "listen", Args: [6]uint64{3, 5}, FD: stream},
	}
	tests := map[string][]trace.Call{
		"client": {
			open,
			{Name: "connect", Args: [6]uint64{3}, Path: "192.0.2.7:80", FD: stream},
			{Name: "recvfrom", Args: [6]uint64{3, 0, 4096, unix.MSG_DONTWAIT}, Result: again, FD: stream},
			{Name: "sendto", Args: [6]uint64{3, 0, 1000}, Result: 1000, FD: stream},
			{Name: "read", Args: [6]uint64{3, 0, 1 << 20}, Result: 50_000, FD: stream},
			{Name: "write", Args: [6]uint64{3, 0, 10}, Result: 10, FD: stream},
			{Name: "recvmsg", Args: [6]uint64{3}, Result: 7, FD: stream, Size: 100},
			{Name: "read", Args: [6]uint64{3, 0, 10}, Result: 0, FD: stream},
			{Name: "close", Args: [6]uint64{3}, FD: stream},
		},
		"greeted client, IPv6": {
			{Name: "socket", Args: [6]uint64{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_NONBLOCK}, Result: 3, FD: trace.Inet6Stream},
			{Name: "connect", Args: [6]uint64{3}, Path: "[2001:db8::1]:25", Result: -int64(unix.EINPROGRESS), FD: trace.Inet6Stream},
			{Name: "read", Args: [6]uint64{3, 0, 50}, Result: 20, FD: trace.Inet6Stream},
			{Name: "sendmsg", Args: [6]uint64{3}, Result: 30, FD: trace.Inet6Stream, Size: 30},
			{Name: "read", Args: [6]uint64{3, 0, 50}, Result: 5, FD: trace.Inet6Stream},
		},
		"server": append(append([]trace.Call{}, listen...),
			trace.Call{Name: "accept4", Args: [6]uint64{3}, Result: 4, FD: stream},
			trace.Call{Name: "read", Args: [6]uint64{4, 0, 100}, Result: 40, FD: stream},
			trace.Call{Name: "writev", Args: [6]uint64{4, 0, 2}, Result: 60, FD: stream, Size: 60},
			trace.Call{Name: "accept4", Args: [6]uint64{3}, Result: 5, FD: stream},
			trace.Call{Name: "read", Args: [6]uint64{5, 0, 100}, Result: 1, FD: stream},
			trace.Call{Name: "read", Args: [6]uint64{4, 0, 100}, Result: 0, FD: stream},
		),
		"server that listened before": {
			{Name: "accept4", Args: [6]uint64{9}, Result: 4, FD: stream},
			{Name: "read", Args: [6]uint64{4, 0, 100}, Result: 40, FD: stream},
		},
		"connected before": {
			{Name: "write", Args: [6]uint64{9, 0, 100}, Result: 100, FD: stream},
			{Name: "read", Args: [6]uint64{9, 0, 100}, Result: 40, FD: stream},
		},
		"both ends": append(append([]trace.Call{}, listen...),
			trace.Call{Name: "socket", Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, Result: 4, FD: stream},
			trace.Call{Name: "connect", Args: [6]uint64{4}, Path: "127.0.0.1:80", FD: stream},
			trace.Call{Name: "accept4", Args: [6]uint64{3}, Result: 5, FD: stream},
			trace.Call{Name: "write", Args: [6]uint64{4, 0, 100}, Result: 100, FD: stream},
			trace.Call{Name: "read", Args: [6]uint64{5, 0, 100}, Result: 100, FD: stream},
		),
	}
	for name, calls := range tests {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			want := map[string]int64{}
			for _, c := range calls {
				want[c.Name]++
			}
			replayOf(t, t.Context(), 0, calls...).check(t, want)
		})
	}
}

// TestManyPeers refuses a recording of more peers than can be made.
func TestManyPeers(t *testing.T) {
	var calls []trace.Call
	for i := range maxAddresses + 1 {
		calls = append(calls,
			trace.Call{Thread: 1, Process: 1, Name: "socket", Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, Result: 3, FD: trace.InetStream},
			trace.Call{Thread: 1, Process: 1, Name: "connect", Args: [6]uint64{3}, Path: fmt.Sprintf("192.0.2.1:%d", i+1), FD: trace.InetStream})
	}
	_, err := New(&trace.Recording{Header: trace.Header{Arch: runtime.GOARCH}, Calls: calls}, Options{})
	if err == nil || !strings.Contains(err.Error(), "connects to 1001 addresses: want up to 1000") {
		t.Errorf("%v", err)
	}
}

// TestPeersWait has a peer answer as late as in the recording.
func TestPeersWait(t *testing.T) {
	const late = 20 * time.Millisecond
	calls := []trace.Call{
		{Name: "socket", Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, Result: 3, FD: trace.InetStream},
		{Name: "connect", Args: [6]uint64{3}, Path: "192.0.2.7:80", FD: trace.InetStream},
		{Name: "write", Args: [6]uint64{3, 0, 1000}, Result: 1000, FD: trace.InetStream},
		{Name: "read", Args: [6]uint64{3, 0, 4096}, Result: 10, Duration: late, FD: trace.InetStream},
	}
	for speed, want := range map[float64]time.Duration{0: 0, 1: late, 0.5: 2 * late} {
		f := replayOf(t, t.Context(), speed, calls...)
		for _, c := range f.Calls {
			// What it takes longer is the machine's business, what it takes less would be wrong.
			if c.Name == "read" && (c.Replayed != 1 || c.ReplayedTime < want-time.Millisecond) {
				t.Errorf("speed %v: %d reads took %v, want one of %v", speed, c.Replayed, c.ReplayedTime, want)
			}
		}
	}
}

// TestFalls has a peer that answered some time after a call not answer before the call has ended.
func TestFalls(t *testing.T) {
	const late = time.Hour
	p := &peers{pass: &pass{speed: 2, epoch: time.Now()}, sent: make([]atomic.Int64, 1)}
	s := &speaker{talk: &talk{steps: []step{{say: 1, delay: late}}}}
	p.sent[0].Store(-1)
	if p.falls(s); !s.open || s.due < late/2 {
		t.Errorf("while it is spoken to: due at %v, known %t", s.due, !s.open)
	}
	p.sent[0].Store(int64(time.Minute))
	if p.falls(s); s.open || s.due != time.Minute+late/2 {
		t.Errorf("due at %v, known %t, want %v", s.due, !s.open, time.Minute+late/2)
	}
}
