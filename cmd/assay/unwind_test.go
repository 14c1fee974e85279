// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// framesDepth is how deep the program frames goes.
const framesDepth = 20

// TestUnwind records a program without frame pointers as several compilers make it: each stack has to be that of the source, down to the
// first function of its thread.
func TestUnwind(t *testing.T) {
	for _, c := range []struct {
		name   string
		recipe truth.Recipe
	}{
		{"gcc", truth.Recipe{Flags: []string{"-O2", "-fomit-frame-pointer"}}},
		{"gcc, at link time", truth.Recipe{Flags: []string{"-O3", "-flto=auto", "-fomit-frame-pointer"}}},
		{"gcc, static", truth.Recipe{Flags: []string{"-O2", "-static", "-fomit-frame-pointer"}}},
		{"gcc, with frame pointers", truth.Recipe{}},
		{"clang", truth.Recipe{Flags: []string{"-O2", "-fomit-frame-pointer"}, Compiler: "clang++-19"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.recipe.Sources = []string{"frames.cc"}
			settle(t, 0.5, func(seconds float64) error {
				p := launch(t, c.recipe.Build(t), secondsArg(seconds), strconv.Itoa(framesDepth), "gate")
				r, _ := recordWork(t, p, seconds, flags(cpuFlags, "--pid", p.pid())...)
				if err := checkFrames(r.p); err != nil {
					return err
				}
				whole, broken, guessed := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken"), r.time(t, "time_ns.guessed")
				// A process that exits has no stack to read for its last samples.
				if off := broken + guessed; off > 3*time.Millisecond+(whole+off)/200 {
					return fmt.Errorf("%v of %v have a stack that is not whole", off, whole+off)
				}
				return nil
			})
		})
	}
}

// TestUnwindShortLived records programs that are gone before we hear of them: the kernel side finds by itself which files they have mapped.
func TestUnwindShortLived(t *testing.T) {
	settle(t, 1, func(seconds float64) error {
		loop := fmt.Sprintf("end=$(($(date +%%s%%N) + %d)); while [ $(date +%%s%%N) -lt $end ]; do :; done", int64(seconds*1e9))
		r := record(t, flags(cpuFlags, "--", "sh", "-c", loop)...)
		whole, all := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")+r.time(t, "time_ns.whole")
		if whole*10 < all*9 {
			return fmt.Errorf("only %v of %v have a whole stack", whole, all)
		}
		return nil
	})
}

// TestUnwindUnknown records a program that nothing is known of before its first sample, with a table that takes a while to make: the stacks until then
// are walked again.
func TestUnwindUnknown(t *testing.T) {
	recipe := truth.Recipe{Sources: []string{"frames.cc", "large.S"}, Flags: []string{"-O2", "-fomit-frame-pointer", "-DFUNCTIONS=10000"}}
	settle(t, 0.5, func(seconds float64) error {
		run := fmt.Sprintf("%s %g %d; true", recipe.Build(t), seconds, framesDepth)
		r := record(t, flags(cpuFlags, "--unwind-cache", "", "--", "sh", "-c", run)...)
		whole, off := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")
		if again := r.fact(t, "unwind.walked_again"); again < 3 || off > 2*time.Millisecond+(whole+off)/100 {
			return fmt.Errorf("%d stacks were walked again; %v of %v have a stack that is not whole", again, off, whole+off)
		}
		if off > 0 {
			return nil // these are by frame pointers that there are not
		}
		return checkFrames(r.p)
	})
}

// TestUnwindNoUse records a program whose stacks lead nowhere, whatever user space may hear of it: after a while, no copies of them are sent.
func TestUnwindNoUse(t *testing.T) {
	program := truth.Recipe{Sources: []string{"lying.c"}}.Build(t)
	settle(t, 2, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
		broken, again, stacks := r.time(t, "time_ns.broken"), r.fact(t, "unwind.walked_again"), r.fact(t, "stacks")
		const copies = 500
		if taken := r.fact(t, "samples_taken"); taken < 2*copies || broken.Seconds()*cpuHz < 2*copies {
			return fmt.Errorf("only %d samples, and %v broken", taken, broken)
		}
		if again < copies/2 || again > copies+copies/5 || stacks > again+copies/2 {
			return fmt.Errorf("%d stacks were walked again, of %d", again, stacks)
		}
		return nil
	})
}

// TestUnwindEnds records programs of which no one says where their stacks end: that of a context, that of a thread or a process that clone
// makes, and those of a C library without call frame information.
func TestUnwindEnds(t *testing.T) {
	for _, c := range []struct{ name, compiler, source string }{
		{"context", "gcc -O2", "context.c"},
		{"posix_spawn", "gcc -O2", "spawn.c"},
		{"musl", "musl-gcc -O2 -fomit-frame-pointer", "deep.c"},
		{"musl, static", "musl-gcc -O2 -fomit-frame-pointer -static", "deep.c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "program")
			compiler := strings.Fields(c.compiler)
			compiler = append(compiler, "-o", program, filepath.Join("..", "..", "bench", "stacks", "programs", c.source))
			if said, err := exec.Command(compiler[0], compiler[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", compiler, err, said)
			}
			settle(t, 1, func(seconds float64) error {
				r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds), "30")...)
				whole, off := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")
				if off > 3*time.Millisecond+(whole+off)/50 {
					return fmt.Errorf("%v of %v have a stack that is not whole", off, whole+off)
				}
				return nil
			})
		})
	}
}

// TestUnwindThrown records a program that throws all the time, with frame pointers and without: where libgcc puts one frame in the place of
// another, none is skipped.
func TestUnwindThrown(t *testing.T) {
	for _, c := range []struct {
		name   string
		recipe truth.Recipe
	}{
		{"gcc", truth.Recipe{Flags: []string{"-O2"}}},
		{"gcc, with frame pointers", truth.Recipe{}},
		{"gcc, static", truth.Recipe{Flags: []string{"-O2", "-static"}}},
		{"clang", truth.Recipe{Flags: []string{"-O2", "-fomit-frame-pointer"}, Compiler: "clang++-19"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.recipe.Sources = []string{"thrown.cc"}
			program := c.recipe.Build(t)
			settle(t, 1, func(seconds float64) error {
				r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
				whole, off := r.time(t, "time_ns.whole"), r.time(t, "time_ns.broken")+r.time(t, "time_ns.guessed")
				if off > 4*time.Millisecond+(whole+off)/500 {
					return fmt.Errorf("%v of %v have a stack that is not whole", off, whole+off)
				}
				return checkThrown(r.p)
			})
		})
	}
}

// checkThrown wants one descend to be called by the next, and the last by main.
func checkThrown(p *profile.Profile) error {
	const outermost = 20
	levels := map[int]bool{}
	for _, s := range p.Sample {
		var names []string
		for _, l := range s.Location {
			for _, line := range l.Line {
				names = append(names, line.Function.SystemName)
			}
		}
		at := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "_Z7descend") })
		if at < 0 {
			continue
		}
		var first int
		if _, err := fmt.Sscanf(names[at], "_Z7descendILi%dE", &first); err != nil {
			return err
		}
		levels[first] = true
		// A walk that broke has fewer; how many did is in the facts.
		for i, name := range names[at:] {
			want := fmt.Sprintf("_Z7descendILi%dE", first+i)
			if first+i > outermost {
				want = "main" // or main.cold
			}
			if !strings.HasPrefix(name, want) {
				return fmt.Errorf("a stack %v, want %s behind %d frames", names, want, at+i)
			}
			if want == "main" {
				break
			}
		}
	}
	if len(levels) != outermost+1 {
		return fmt.Errorf("only these were sampled: %v", levels)
	}
	return nil
}

// checkFrames compares the frames of the program itself with what the source says: work goes down framesDepth calls of down, and calls
// the bottom from there.
func checkFrames(p *profile.Profile) error {
	bottoms := map[string]int64{}
	for _, s := range p.Sample {
		names := programFrames(s)
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "bottom_") })
		if i < 0 {
			continue
		}
		bottoms[names[i]] += s.Value[0]
		want := slices.Repeat([]string{"down"}, framesDepth)
		rest := names[i+1:]
		if len(rest) > framesDepth+1 && rest[framesDepth+1] == "thread_main" {
			want = append(want, "work", "thread_main")
		} else {
			want = append(want, "work", "main")
		}
		// A walk that broke has fewer; how many did is in the facts.
		if n := min(len(rest), len(want)); !slices.Equal(rest[:n], want[:n]) {
			return fmt.Errorf("a stack %v, want below %s %v", names, names[i], want)
		}
	}
	if len(bottoms) < 6 {
		return fmt.Errorf("only these were sampled: %v", bottoms)
	}
	return nil
}

// programFrames are the names of the frames of a sample in the program frames, innermost first.
func programFrames(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		if l.Mapping == nil || !strings.HasSuffix(l.Mapping.File, "/frames") {
			continue
		}
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}
