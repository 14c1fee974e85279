// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/profiler"
)

// groupCode is the group of the checks of what a walk of stacks goes by.
const groupCode = "code"

// enough is the share of a file's code from which on it counts as known: what is left are a few functions by hand.
const enough = 0.99

// codeChecks say of each file that a process has mapped as code what a walk has to go by there; of all, where stacks end and whether
// there is room.
func codeChecks(pid, memory int, l profiler.Looked) []Check {
	var checks []Check
	for i := range l.Code {
		checks = append(checks, checkCode(&l.Code[i]))
	}
	checks = append(checks, checkEnds(pid, l.Code), checkRoom(memory, l.Code))
	if l.Over > 0 {
		c := codeCheck("mappings", Degraded, fmt.Sprintf("%d more than a walk is told of", l.Over), "stacks through the others break")
		c.Fix = "have the process map less as code, or in fewer pieces"
		checks = append(checks, c)
	}
	return checks
}

func codeCheck(name string, status Status, found, costs string) Check {
	return Check{Group: groupCode, Name: oneLine(name), Need: Adds, Status: status, Found: oneLine(found), Costs: costs}
}

const (
	guesses   = "frames below it are found by frame pointers, a guess: its time is told as guessed, or as broken"
	withInfo  = "build it with -fasynchronous-unwind-tables and keep .eh_frame, or with -fno-omit-frame-pointer"
	fewFrames = "stacks that are in such code at the moment of a sample are told as guessed or broken"
)

// checkCode is about one file, or memory without one.
func checkCode(c *profiler.Code) Check {
	name, of := filepath.Base(c.Path), c.Path
	switch c.State {
	case profiler.CodeNoFile:
		k := codeCheck("memory without a file", Degraded, fmt.Sprintf("%s in %d mappings, as compilers at run time have it: by frame pointers",
			size(c.Mapped), c.Mappings), guesses)
		k.Fix = "have its compiler keep frame pointers: node does, and java -XX:+PreserveFramePointer"
		return k
	case profiler.CodeUnreadable:
		k := codeCheck(name, Missing, fmt.Sprintf("%s: %s", of, c.Why), guesses)
		k.Fix = "record as root, so that deleted files can be opened, too, or start the process anew"
		return k
	case profiler.CodeNoTable:
		k := codeCheck(name, Missing, of+": it describes no code, and its code can't be followed", guesses)
		k.Fix = withInfo
		return k
	case profiler.CodeTooLarge:
		k := codeCheck(name, Missing, of+": its table alone takes more than all have", guesses)
		k.Fix = "record with more --unwind-memory"
		return k
	}
	return checkTable(name, of, c)
}

// checkTable is about a file with a table.
func checkTable(name, of string, c *profiler.Code) Check {
	found := fmt.Sprintf("%s: %.1f%% of %s known", of, 100*float64(c.Known)/float64(max(c.Code, 1)), size(c.Code))
	if float64(c.Known) >= enough*float64(c.Code) {
		return codeCheck(name, OK, found, fewFrames)
	}
	for _, rest := range []struct {
		bytes uint64
		what  string
	}{{c.Guessed, "by frame pointers"}, {c.Unsupported, "described in ways that can't be followed"}, {c.Unknown, "not described"}} {
		if rest.bytes > 0 {
			found += fmt.Sprintf(", %s %s", size(rest.bytes), rest.what)
		}
	}
	k := codeCheck(name, Degraded, found, fewFrames)
	if strings.HasPrefix(of, "/") { // the vdso is the kernel's
		k.Fix = withInfo
	}
	return k
}

// checkEnds says whether it is known where stacks end: that of the first thread by the program, those of others by the C library.
func checkEnds(pid int, code []profiler.Code) Check {
	const name = "where stacks end"
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	threads, terr := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err := errors.Join(err, terr); err != nil {
		return codeCheck(name, Unknown, err.Error(), "")
	}
	var first, others []string
	for _, c := range code {
		if c.EndsMain && c.Path == program {
			first = append(first, filepath.Base(c.Path))
		}
		if c.EndsThreads {
			others = append(others, filepath.Base(c.Path))
		}
	}
	tell := func(files []string) string {
		if len(files) == 0 {
			return "not known"
		}
		return "known by " + strings.Join(files, ", ")
	}
	status := OK
	if len(first) == 0 || len(others) == 0 && len(threads) > 1 {
		status = Degraded
	}
	k := codeCheck(name, status, "of the first thread: "+tell(first)+"; of others: "+tell(others),
		"stacks that are whole may be told as broken")
	if status != OK {
		k.Fix = "link it with a C library that tells, as glibc does"
	}
	return k
}

// checkRoom says whether the tables of this process alone have room.
func checkRoom(memory int, code []profiler.Code) Check {
	all := 0
	for _, c := range code {
		all += c.Table
	}
	found := fmt.Sprintf("tables of this process take %s of %s", size(uint64(all)), size(uint64(memory)))
	if all <= memory {
		return codeCheck("memory for tables", OK, found, "")
	}
	k := codeCheck("memory for tables", Degraded, found, "files without a table: "+guesses)
	k.Fix = "record with more --unwind-memory"
	return k
}

// size is a number of bytes as people read it.
func size(n uint64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
