// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network/lab"
)

// A runner does the work of a kind in the workload's lab. It makes its sockets and takes them away again.
type runner func(context.Context, *workload, time.Duration) (*scenarios.Outcome, error)

// workload is any of the kinds.
type workload struct {
	ipv6        bool
	size        int // bytes in a message
	connections int
	rate        int    // datagrams per second; UDP only
	congestion  string // TCP only
	options     lab.Options
	run         runner
	lab         *lab.Lab // nil before Prepare and after Close
}

func newWorkload(v scenarios.Values, run runner) (*workload, error) {
	limit, err := lab.ParseRate(v.Text("rate_limit"))
	if err != nil {
		return nil, fmt.Errorf("parameter rate_limit: %w", err)
	}
	w := &workload{
		ipv6: v.Text("family") == "ipv6", size: v.Size("size"), connections: v.Int("connections"), congestion: v.Text("congestion"),
		options: lab.Options{Rate: limit, Loss: v.Float("loss"), Delay: v.Duration("delay")}, run: run,
	}
	if _, ok := v["rate"]; ok {
		w.rate = v.Int("rate")
	}
	return w, nil
}

// Prepare makes the lab. After an error it has removed it.
func (w *workload) Prepare(ctx context.Context) (err error) {
	if w.lab != nil {
		return errors.New("network: prepared already")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.lab, err = lab.New(w.options); err != nil {
		w.lab = nil
		return err
	}
	if err = w.check(); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		err = errors.Join(err, w.Close())
	}
	return err
}

// check says what the kernel can't do, before a run would trip over it.
func (w *workload) check() error {
	if !w.address(w.lab.Receiver).IsValid() {
		return errors.New("family ipv6: this kernel has no IPv6; use ipv4")
	}
	return w.checkCongestion()
}

// address is the address of a space that this workload uses.
func (w *workload) address(s *lab.Space) netip.Addr {
	if w.ipv6 {
		return s.IPv6
	}
	return s.IPv4
}

// Inside runs f in both namespaces of the lab.
func (w *workload) Inside(f func() error) error {
	if w.lab == nil {
		return errors.New("network: not prepared")
	}
	return cmp.Or(w.lab.Sender.Do(f), w.lab.Receiver.Do(f))
}

// Run works for d from when all is connected. An error says why work could not begin, or why the figures can't be had.
func (w *workload) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	if w.lab == nil {
		return nil, errors.New("network: not prepared")
	}
	before, err := w.figures()
	if err != nil {
		return nil, err
	}
	o, err := w.run(ctx, w, d)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), err) // what a canceled context makes of sockets is of no interest
	}
	after, err := w.figures()
	if err != nil {
		return nil, err
	}
	for name, value := range after {
		o.Values[name] = value - before[name]
	}
	return o, nil
}

// figures are counters of the lab, by the names they have in an outcome.
func (w *workload) figures() (map[string]float64, error) {
	counts, err := w.lab.Counts()
	if err != nil {
		return nil, err
	}
	overrun, err := w.lab.Overrun()
	if err != nil {
		return nil, err
	}
	retransmits, err := retransmits(w.lab.Sender)
	return map[string]float64{
		"retransmits_count": retransmits, "dropped_count": float64(counts.Dropped), "overrun_count": float64(overrun),
	}, err
}

// retransmits reads TcpRetransSegs of a namespace, which counts those of IPv6 too.
func retransmits(s *lab.Space) (segments float64, err error) {
	err = s.Do(func() error {
		fs, err := procfs.NewDefaultFS()
		if err != nil {
			return err
		}
		thread, err := fs.Thread(os.Getpid(), unix.Gettid())
		if err != nil {
			return err
		}
		snmp, err := thread.Snmp()
		if err != nil {
			return err
		}
		if snmp.Tcp.RetransSegs == nil {
			return errors.New("/proc/net/snmp: no RetransSegs")
		}
		segments = *snmp.Tcp.RetransSegs
		return nil
	})
	return segments, err
}

// Close removes the lab.
func (w *workload) Close() error {
	if w.lab == nil {
		return nil
	}
	err := w.lab.Close()
	w.lab = nil
	return err
}
