// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/bench/result"
)

// slowProgram reads the clock many times, which takes microseconds.
func slowProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	var code asm.Instructions
	for range 200 {
		code = append(code, asm.FnKtimeGetNs.Call())
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "assay_test_slow", Type: ebpf.SocketFilter, Instructions: append(code, asm.Mov.Imm(asm.R0, 0), asm.Return()), License: "GPL",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestMeter counts each run of a program, and knows about how long it takes: the kernel says so too when it runs it for a test.
func TestMeter(t *testing.T) {
	const runs = 500
	slow := slowProgram(t)
	m, err := startMeter()
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.during(func() (*outcome, error) {
		for range runs {
			if _, err := slow.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
				return nil, err
			}
		}
		return &outcome{ElapsedNS: 1e6, Operations: runs}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	var got result.BPFProgram
	for _, p := range b.Programs {
		if p.Name == "assay_test_slow" {
			got = p
		}
	}
	if got.Runs != runs || got.Type != ebpf.SocketFilter.String() || b.Operations != runs {
		t.Fatalf("%+v, want %d runs", b, runs)
	}
	_, kernels, err := slow.Benchmark(make([]byte, 64), runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Both see it while others take the CPU from it.
	if took := got.NS / runs; took < float64(kernels.Nanoseconds())/4 || took > 4*float64(kernels.Nanoseconds()) {
		t.Errorf("%.0f ns a run, the kernel says %s", took, kernels)
	}
	if b.MeterNS <= 0 || b.MeterNS > got.NS/runs {
		t.Errorf("the meter adds %.0f ns to a program of %.0f", b.MeterNS, got.NS/runs)
	}
}

// TestMeterTrial meters each arm in the first block and the fifth, and only there.
func TestMeterTrial(t *testing.T) {
	slowProgram(t) // or there might be none on this machine
	x := fakeExperiment()
	o, err := x.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range o.Records {
		if want := r.Block == 0 || r.Block == 4; (r.BPF != nil) != want {
			t.Errorf("block %d, arm %s: metered %v, %q", r.Block, r.Arm, r.BPF != nil, r.Warnings)
		}
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestBPFCosts adds up the programs of an arm by name and type.
func TestBPFCosts(t *testing.T) {
	trial := func(block int, arm string, programs ...result.BPFProgram) result.Record {
		return result.Record{Block: block, Arm: arm, BPF: &result.BPF{DurationNS: 1000, Operations: 10, Programs: programs}}
	}
	got := BPFCosts([]result.Record{
		trial(0, "hook", result.BPFProgram{ID: 7, Name: "probe", Type: "Tracing", Runs: 20, NS: 100}),
		trial(0, Baseline),
		{Block: 1, Arm: "hook"},
		trial(4, "hook", result.BPFProgram{ID: 9, Name: "probe", Type: "Tracing", Runs: 20, NS: 300}, result.BPFProgram{ID: 2, Name: "probe", Type: "XDP", Runs: 1, NS: 1}),
	})
	want := []result.BPFCost{
		{Arm: "hook", Program: "probe", Type: "Tracing", Runs: 40, NS: 400, RunsPerOp: 2, NSPerOp: 20, CPU: 0.2},
		{Arm: "hook", Program: "probe", Type: "XDP", Runs: 1, NS: 1, RunsPerOp: 0.05, NSPerOp: 0.05, CPU: 0.0005},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
