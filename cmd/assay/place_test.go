// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// placeFlags record all that places does.
var placeFlags = []string{"--mode", "cpu,offcpu", "--exact", "--freq", fmt.Sprint(cpuHz)}

// TestPlaces records addresses that belong to another function when they are off by one: behind a system call and behind a call, which are
// return addresses, and of a page fault, of an interrupt and of what a signal interrupts, which are not.
func TestPlaces(t *testing.T) {
	r := record(t, flags(placeFlags, "--", truth.Build(t, "places.c", "places.S"), "2")...)
	said := r.truth(t)
	for _, neighbour := range []string{"before_fault", "before_spin"} {
		if n := sum(t, r.p, "samples", onStack(neighbour)); n != 0 {
			t.Errorf("%d samples with %s, which is never called", n, neighbour)
		}
	}
	cpu := said.Group("cpu_ns")
	samples := map[string]int64{
		"spin_at_start":  sum(t, r.p, "samples", leaf("spin_at_start")),
		"handled":        sum(t, r.p, "samples", every(onStack("handled"), onStack("spin_at_start"))),
		"fault_at_start": sum(t, r.p, "samples", leaf("fault_at_start")),
		"called_at_end":  sum(t, r.p, "samples", every(onStack("called_at_end"), onStack("call_at_end"))),
	}
	if err := compareShares(samples, cpu); err != nil {
		t.Error(err)
	}
	waits := map[string]time.Duration{
		"syscall_at_end": duration(t, r.p, "off_cpu", every(leaf("syscall_at_end"), labelled("wait", "sleep"))),
		"fault_at_start": duration(t, r.p, "off_cpu", every(leaf("fault_at_start"), labelled("wait", "page fault"))),
	}
	if err := compareSpans(waits, said.Spans(), r.mended()); err != nil {
		t.Error(err)
	}
}

// TestLines looks up the lines of these addresses in the debug information, as `go tool pprof -list` would.
func TestLines(t *testing.T) {
	program := truth.Build(t, "places.c", "places.S")
	r := record(t, flags(placeFlags, "--", program, "1")...)
	marked := markedLines(t)
	seen := map[string]bool{}
	for l, function := range markedPlaces(r.p) {
		seen[function] = true
		if line := lineOf(t, program, l); !slices.Contains(marked[function], line) {
			t.Errorf("%s at %#x is line %d of places.S, want one of %d", function, l.Address, line, marked[function])
		}
	}
	if len(seen) != len(marked) {
		t.Errorf("seen only %v of %v", seen, marked)
	}
}

// markedPlaces returns the locations that have to be at the marked place of their function: where its kernel side was entered, or where
// it called another; in spin_at_start there is nothing else.
func markedPlaces(p *profile.Profile) map[*profile.Location]string {
	places := map[*profile.Location]string{}
	for _, s := range p.Sample {
		for i, l := range s.Location {
			for _, function := range []string{"syscall_at_end", "fault_at_start", "call_at_end", "spin_at_start"} {
				entered := i > 0 && (inKernel(s.Location[i-1]) || named(s.Location[i-1], "called_at_end"))
				faulted := function != "fault_at_start" || slices.ContainsFunc(s.Location[:i], func(l *profile.Location) bool { return named(l, "asm_exc_page_fault") })
				if named(l, function) && faulted && (entered || function == "spin_at_start") {
					places[l] = function
				}
			}
		}
	}
	return places
}

// markedLines reads from the source which lines of each function a profile has to show.
func markedLines(t *testing.T) map[string][]int {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(truth.Sources(t), "places.S"))
	if err != nil {
		t.Fatal(err)
	}
	marked := map[string][]int{}
	for i, line := range lines(string(source)) {
		if _, function, ok := strings.Cut(line, "# HERE "); ok {
			marked[function] = append(marked[function], i+1)
		}
	}
	if len(marked) != 4 {
		t.Fatalf("marked lines: %v", marked)
	}
	return marked
}

// lineOf asks addr2line for the line of a location.
func lineOf(t *testing.T, program string, l *profile.Location) int {
	t.Helper()
	at := l.Address - l.Mapping.Start + l.Mapping.Offset // these programs are linked such that offsets in the file are addresses
	out, _, err := run(t, "addr2line", "-e", program, fmt.Sprintf("%#x", at))
	if err != nil {
		t.Fatal(err)
	}
	file, number, _ := strings.Cut(filepath.Base(strings.Fields(out)[0]), ":")
	line, err := strconv.Atoi(number)
	if err != nil || file != "places.S" {
		t.Fatalf("addr2line says %q", out)
	}
	return line
}
