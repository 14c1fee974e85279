// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"runtime"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

// workCounters are what the kernel counts in the network namespaces of a workload, summed: those that it makes, or else the one that it is in, where
// others may work too. A workload whose namespaces can't be read has none.
func workCounters(work scenarios.Workload) counters {
	sum := counters{}
	add := func() error {
		for name, value := range threadCounters() {
			sum[name] += value
		}
		return nil
	}
	spaced, ok := work.(scenarios.Spaced)
	if !ok {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		add() //nolint:errcheck // it has none
	} else if spaced.Inside(add) != nil {
		return nil
	}
	return sum
}

// threadCounters are those of the network namespace that this thread is in. What the kernel doesn't count is left out.
func threadCounters() counters {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil
	}
	thread, err := fs.Thread(os.Getpid(), unix.Gettid())
	if err != nil {
		return nil
	}
	c := counters{}
	add := func(name string, value *float64) {
		if value != nil {
			c[name] += *value
		}
	}
	if snmp, err := thread.Snmp(); err == nil {
		add("tcp_retransmits_count", snmp.Tcp.RetransSegs) // of IPv6 too
		add("udp_receive_buffer_errors_count", snmp.Udp.RcvbufErrors)
		add("udp_send_buffer_errors_count", snmp.Udp.SndbufErrors)
	}
	if snmp6, err := thread.Snmp6(); err == nil {
		add("udp_receive_buffer_errors_count", snmp6.Udp6.RcvbufErrors)
		add("udp_send_buffer_errors_count", snmp6.Udp6.SndbufErrors)
	}
	if netstat, err := thread.Netstat(); err == nil {
		add("tcp_timeouts_count", netstat.TCPTimeouts)
		add("tcp_syn_retransmits_count", netstat.TCPSynRetrans)
		add("tcp_listen_overflows_count", netstat.ListenOverflows)
		add("tcp_listen_drops_count", netstat.ListenDrops)
		add("tcp_backlog_drops_count", netstat.TCPBacklogDrop)
		add("tcp_receive_queue_drops_count", netstat.TCPRcvQDrop)
	}
	return c
}
