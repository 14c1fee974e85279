// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
	"github.com/assaylab/assay/internal/truth"
)

// stepFlags make a library that the program crowded can map as it is.
var stepFlags = []string{"-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-nostdlib", "-Wl,-z,noseparate-code", "-Wl,--build-id"}

// manySteps writes count libraries of one function into a folder; each has another build ID.
func manySteps(t testing.TB, count int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	first := truth.Recipe{Sources: []string{"step.c"}, Flags: stepFlags}.Build(t)
	id, err := hex.DecodeString(elfxtest.Open(t, first).BuildID())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, id)
	for i := range count {
		binary.LittleEndian.PutUint32(content[at:], uint32(i))
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("step%04d.so", i)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// recordCrowded records a process with so many executable mappings of the libraries in a folder.
func recordCrowded(t *testing.T, program, folder string, mappings int, seconds float64, args ...string) *recording {
	t.Helper()
	p := launch(t, program, secondsArg(seconds), "gate", strconv.Itoa(mappings), folder)
	for start := time.Now(); countMapped(t, p, folder) < mappings; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("the program does not get ready")
		}
	}
	// Work begins when the tables of all files surely are there.
	tables := time.Duration(3 * seconds * float64(time.Second))
	open := time.AfterFunc(tables, func() { p.open(t) })
	defer open.Stop()
	length := tables + time.Duration(seconds*float64(time.Second)) + settlingTime
	r := record(t, append(flags(cpuFlags, "--pid", p.pid(), "--unwind-cache", t.TempDir(), "--duration", length.String()), args...)...)
	p.wait(t)
	return r
}

// countMapped counts the executable mappings of a process of files in a folder.
func countMapped(t testing.TB, p *process, folder string) int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%s/maps", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, " r-xp ") && strings.Contains(line, folder) {
			n++
		}
	}
	return n
}

// TestCrowdedProcess records processes that have many mappings, and many files: no stack may suffer from it.
func TestCrowdedProcess(t *testing.T) {
	program := truth.Build(t, "crowded.c")
	for _, c := range []struct{ mappings, files int }{{5000, 8}, {3000, 3000}} {
		t.Run(fmt.Sprintf("%d mappings of %d files", c.mappings, c.files), func(t *testing.T) {
			folder := manySteps(t, c.files)
			settle(t, 1, func(seconds float64) error {
				r := recordCrowded(t, program, folder, c.mappings, seconds)
				whole, off := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")
				if off > 3*time.Millisecond+(whole+off)/50 {
					return fmt.Errorf("%v of %v have a stack that is not whole: %v", off, whole+off, r.facts.Group("unwind_fault."))
				}
				for _, s := range r.p.Sample {
					steps := 0
					for _, l := range s.Location {
						if named(l, "step") {
							steps++
						}
					}
					if onStack("bottom")(s) && onStack("main")(s) && steps != 40 {
						return fmt.Errorf("a stack through %d libraries, want 40", steps)
					}
				}
				return nil
			})
		})
	}
}

// TestOneTableTooLarge: of a process that has a library whose table does not fit, the stacks through that library suffer, which is said, and no others.
func TestOneTableTooLarge(t *testing.T) {
	folder := manySteps(t, 60)
	large := truth.Recipe{Sources: []string{"step.c", "large.S"}, Flags: stepFlags}.Build(t)
	copyProgram(t, large, filepath.Join(folder, "large.so"))
	program := truth.Build(t, "crowded.c")
	settle(t, 1, func(seconds float64) error {
		r := recordCrowded(t, program, folder, 61, seconds, "--unwind-memory", "4")
		if n := r.fact(t, "unwind.tables_without_room"); n != 1 {
			t.Errorf("%d tables without room, want one", n)
		}
		// A stack goes through 40 of 61 libraries, so about half of them not through the large one.
		whole, off := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")
		blamed := time.Duration(0)
		for _, how := range []string{"broken", "guessed"} {
			if n, ok := r.facts.Int(how + "_ns.no_room"); ok {
				blamed += time.Duration(n)
			}
		}
		if whole < (whole+off)/4 || off-blamed > 3*time.Millisecond+(whole+off)/50 {
			return fmt.Errorf("%v whole, %v not, %v of it for want of room: %v", whole, off, blamed, r.facts.Group("unwind_fault."))
		}
		for _, f := range r.facts.Group("unwind_fault.") {
			if strings.Contains(f.Value, "no room") && !strings.Contains(f.Value, "/large.so: ") {
				return fmt.Errorf("no room for another: %s", f.Value)
			}
		}
		return nil
	})
}
