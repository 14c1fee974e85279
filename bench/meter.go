// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bench/result"
)

// meterEvery is in which blocks eBPF programs are metered: each so many. The kernel's meter reads the clock around each run of each program, which
// adds some 75 ns to it, so it is on only in a run of its own after the measured one, with the same thing beside it.
const meterEvery = 4

// meter sees what eBPF programs do while the kernel's statistics are on (BPF_ENABLE_STATS). It keeps those that were there at its start open,
// so that one which is unloaded meanwhile is told of all the same; one that comes and goes meanwhile isn't seen.
type meter struct {
	statistics io.Closer
	price      float64 // nanoseconds that the meter itself adds to what it tells of a run
	programs   map[ebpf.ProgramID]*metered
}

// metered is a program with its counts at the start.
type metered struct {
	program *ebpf.Program
	ran     time.Duration
	runs    uint64
}

// meterTrial has the workload run once more, metered, and puts what eBPF programs did into r. Where there is none, or where we may not see
// them, nothing is run. Whether it works or not, what was measured before stays.
func (x *Experiment) meterTrial(ctx context.Context, w *worker, r *result.Record) {
	if r.Block%meterEvery > 0 || !anyProgram() {
		return
	}
	m, err := startMeter()
	if errors.Is(err, os.ErrPermission) {
		return
	}
	if err == nil {
		r.BPF, err = m.during(func() (*outcome, error) { return w.run(ctx, x.Subject.Duration) })
		err = errors.Join(err, m.close())
	}
	if err != nil {
		r.Warnings = append(r.Warnings, oneLine("the cost of eBPF programs is not known: "+err.Error()))
	}
}

// anyProgram says whether there is an eBPF program on this machine that we can see.
func anyProgram() bool {
	_, err := ebpf.ProgramGetNextID(0)
	return err == nil
}

func startMeter() (*meter, error) {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("statistics of eBPF programs: %w", err)
	}
	m := &meter{statistics: statistics, programs: map[ebpf.ProgramID]*metered{}}
	if m.price, err = meterPrice(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	if err := m.find(true); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// find opens all programs that it doesn't have yet. Those that come after the start begin at 0.
func (m *meter) find(start bool) error {
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list eBPF programs: %w", err)
		}
		id = next
		if m.programs[id] != nil {
			continue
		}
		p, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) { // it has just gone
			continue
		}
		if err != nil {
			return fmt.Errorf("eBPF program %d: %w", id, err)
		}
		m.programs[id] = &metered{program: p}
		if start {
			if err := m.programs[id].begin(); err != nil {
				return err
			}
		}
	}
}

func (p *metered) begin() error {
	s, err := p.program.Stats()
	if err != nil {
		return fmt.Errorf("statistics of an eBPF program: %w", err)
	}
	p.ran, p.runs = s.Runtime, s.RunCount
	return nil
}

// during tells of the programs that ran during work, the costliest first.
func (m *meter) during(work func() (*outcome, error)) (*result.BPF, error) {
	for _, p := range m.programs { // again, as calibrating and listing took a while
		if err := p.begin(); err != nil {
			return nil, err
		}
	}
	o, err := work()
	if err != nil {
		return nil, err
	}
	if err := m.find(false); err != nil {
		return nil, err
	}
	b := &result.BPF{DurationNS: o.ElapsedNS, Operations: o.Operations, MeterNS: m.price}
	for id, p := range m.programs {
		did, err := p.did(id, m.price)
		if err != nil {
			return nil, err
		}
		if did.Runs > 0 {
			b.Programs = append(b.Programs, did)
		}
	}
	slices.SortFunc(b.Programs, func(x, y result.BPFProgram) int { return cmp.Or(cmp.Compare(y.NS, x.NS), cmp.Compare(x.ID, y.ID)) })
	return b, nil
}

// did tells what a program did since the start, without what the meter added.
func (p *metered) did(id ebpf.ProgramID, price float64) (result.BPFProgram, error) {
	before := *p
	if err := p.begin(); err != nil {
		return result.BPFProgram{}, err
	}
	d := result.BPFProgram{ID: uint32(id), Runs: int64(p.runs - before.runs)}
	if d.Runs == 0 {
		return d, nil
	}
	info, err := p.program.Info()
	if err != nil {
		return d, fmt.Errorf("eBPF program %d: %w", id, err)
	}
	d.Name, d.Type = cmp.Or(info.Name, "unnamed"), info.Type.String()
	d.NS = max(0, float64(p.ran-before.ran)-price*float64(d.Runs))
	return d, nil
}

func (m *meter) close() error {
	errs := []error{m.statistics.Close()}
	for _, p := range m.programs {
		errs = append(errs, p.program.Close())
	}
	return errors.Join(errs...)
}

// How often the empty program is run: rounds of a few milliseconds, of which the median counts.
const (
	priceRounds = 5
	priceRuns   = 200
)

// meterPrice is what the meter tells of a run of a program that does nothing, in nanoseconds: the price of its own two looks at the clock, mostly.
// It is the same code around the programs of all types but those of trampolines (fentry, LSM). Here an empty raw tracepoint, run by the test-run
// command, came to 59 to 61 ns, and empty programs that were attached, as raw tracepoint, BTF tracepoint and tracepoint, to 55 to 61 ns.
func meterPrice() (float64, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "assay_empty", Type: ebpf.RawTracepoint, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return 0, fmt.Errorf("empty eBPF program: %w", err)
	}
	empty := &metered{program: p}
	var rounds []float64
	for range priceRounds {
		price, roundErr := empty.price()
		rounds, err = append(rounds, price), errors.Join(err, roundErr)
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2], errors.Join(err, p.Close())
}

// price runs a program and returns what the meter tells of one run.
func (p *metered) price() (float64, error) {
	if err := p.begin(); err != nil {
		return 0, err
	}
	before := *p
	for range priceRuns {
		if _, err := p.program.Run(&ebpf.RunOptions{Context: [1]uint64{}}); err != nil {
			return 0, fmt.Errorf("run an empty eBPF program: %w", err)
		}
	}
	if err := p.begin(); err != nil {
		return 0, err
	}
	if p.runs == before.runs {
		return 0, errors.New("the kernel counts no runs of eBPF programs")
	}
	return float64(p.ran-before.ran) / float64(p.runs-before.runs), nil
}

// BPFCosts sums up what eBPF programs cost in the metered runs of each arm, arms in their order and the costliest program first. Programs of the same
// name and type, such as one that is loaded anew for each trial, are one.
func BPFCosts(records []result.Record) []result.BPFCost {
	var all []result.BPFCost
	for _, arm := range append([]string{Baseline}, armsOf(records)...) {
		all = append(all, armCosts(records, arm)...)
	}
	return all
}

func armCosts(records []result.Record, arm string) []result.BPFCost {
	type key struct{ name, kind string }
	costs := map[key]*result.BPFCost{}
	var operations, duration float64
	for _, r := range records {
		if r.Arm != arm || r.BPF == nil {
			continue
		}
		operations += float64(r.BPF.Operations)
		duration += float64(r.BPF.DurationNS)
		for _, p := range r.BPF.Programs {
			k := key{p.Name, p.Type}
			if costs[k] == nil {
				costs[k] = &result.BPFCost{Arm: arm, Program: p.Name, Type: p.Type}
			}
			costs[k].Runs += p.Runs
			costs[k].NS += p.NS
		}
	}
	var sorted []result.BPFCost
	for _, c := range costs {
		if operations > 0 {
			c.RunsPerOp, c.NSPerOp = float64(c.Runs)/operations, c.NS/operations
		}
		c.CPU = c.NS / duration
		sorted = append(sorted, *c)
	}
	slices.SortFunc(sorted, func(x, y result.BPFCost) int {
		return cmp.Or(cmp.Compare(y.NS, x.NS), cmp.Compare(x.Program, y.Program), cmp.Compare(x.Type, y.Type))
	})
	return sorted
}
