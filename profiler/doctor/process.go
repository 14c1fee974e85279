// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler"
	"github.com/assaylab/assay/profiler/golang"
	"github.com/assaylab/assay/profiler/python"
)

// ProcessReport is what stands between one process and whole, named stacks.
type ProcessReport struct {
	PID    int             `json:"pid"`
	Code   []profiler.Code `json:"code"`
	Checks []Check         `json:"checks"` // of its code, and of the interpreters and compilers that it runs
}

// runtimes is what the checks of a process look at.
type runtimes struct {
	pid   int
	files []string // mapped as code, as the process names them
	words []string // of the command line, and of the variables in which runtimes take options
}

// runtimeOptions are the variables in which Node.js and Java take options.
var runtimeOptions = []string{"NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}

// Process checks the code of a process, for a recording with so many bytes of memory for unwind tables, and the interpreters and compilers
// that it runs.
func Process(pid, memory int) (*ProcessReport, error) {
	p, err := readRuntimes(pid)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	looked, err := profiler.LookAtCode(pid, memory)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	r := &ProcessReport{PID: pid, Code: looked.Code, Checks: codeChecks(pid, memory, looked)}
	for _, look := range []func(*runtimes) []Check{checkPython, checkGo, checkNode, checkJava, checkOthers} {
		r.Checks = append(r.Checks, look(p)...)
	}
	return r, nil
}

func readRuntimes(pid int) (*runtimes, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	proc, err := fs.Proc(pid)
	if err != nil {
		return nil, errors.New("there is none")
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		return nil, err
	}
	p := &runtimes{pid: pid}
	for _, m := range maps {
		if m.Perms.Execute && filepath.IsAbs(m.Pathname) && !slices.Contains(p.files, m.Pathname) {
			p.files = append(p.files, m.Pathname)
		}
	}
	if p.words, err = proc.CmdLine(); err != nil {
		return nil, err
	}
	env, err := proc.Environ()
	if err != nil {
		return nil, err
	}
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); slices.Contains(runtimeOptions, name) {
			p.words = append(p.words, strings.Fields(value)...)
		}
	}
	return p, nil
}

// has says whether one of the options was given. V8 takes _ for - in them.
func (p *runtimes) has(options ...string) bool {
	return slices.ContainsFunc(p.words, func(w string) bool {
		if strings.HasPrefix(w, "--") {
			w = strings.ReplaceAll(w, "_", "-")
		}
		return slices.Contains(options, w)
	})
}

// file is the first mapped file of which is says yes, "" if there is none.
func (p *runtimes) file(is func(base string) bool) string {
	for _, f := range p.files {
		if is(filepath.Base(strings.TrimSuffix(f, " (deleted)"))) {
			return f
		}
	}
	return ""
}

// groupRuntimes is the group of the checks of interpreters and compilers.
const groupRuntimes = "interpreters and compilers"

// check makes a line of the report: what was found, and, unless all is well, what it costs and what mends it.
func (p *runtimes) check(name string, ok bool, found, costs, fix string) Check {
	c := Check{Group: groupRuntimes, Name: name, Need: Adds, Status: OK, Found: oneLine(found), Costs: costs}
	if !ok {
		c.Status, c.Fix = Missing, fix
	}
	return c
}

func checkPython(p *runtimes) []Check {
	var checks []Check
	libc := ""
	for _, f := range p.files {
		if python.MayBeLibc(f) {
			libc = f
		}
	}
	for _, f := range p.files {
		if !python.MayHold(f) {
			continue
		}
		l, err := inspectPython(p.pid, f)
		if l == nil && err == nil {
			continue // a program around a libpython
		}
		if err == nil && libc == "" {
			err = errors.New("it has no C library that tells where threads keep things: only glibc does")
		}
		found := f
		if err != nil {
			found += ": " + err.Error()
		} else {
			found += fmt.Sprintf(": CPython 3.%d", l.Layout.Minor)
		}
		checks = append(checks, p.check("functions of Python", err == nil, found,
			"the interpreter's own functions stand for Python's", "run it with CPython 3.8 to 3.13"))
	}
	return checks
}

func inspectPython(pid int, path string) (l *python.Library, err error) {
	err = inspect(pid, path, func(f *elfx.File) (err error) {
		l, err = python.Inspect(f, path)
		return err
	})
	return l, err
}

// inspect looks at a file as a process has it.
func inspect(pid int, path string, look func(*elfx.File) error) error {
	f, err := elfx.OpenRegular(fmt.Sprintf("/proc/%d/root%s", pid, path))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	e, err := elfx.Open(f, st.Size())
	if err != nil {
		return err
	}
	return look(e)
}

func checkGo(p *runtimes) []Check {
	var checks []Check
	for _, path := range p.files {
		if !golang.MayHold(path) {
			continue
		}
		var program *golang.Program
		var err error
		unread := inspect(p.pid, path, func(f *elfx.File) error {
			program, err = golang.Inspect(f)
			return nil
		})
		if unread != nil || err == nil && program == nil {
			continue // something else
		}
		found := path
		if err != nil {
			found += ": " + err.Error()
		} else {
			found += ": " + program.Version
		}
		checks = append(checks, p.check("labels of Go", err == nil, found,
			"samples lack the labels of goroutines (runtime/pprof.Do)", "build it with Go 1.20 or later, as a program, with symbols if it is static and has C in it"))
	}
	return checks
}

func checkNode(p *runtimes) []Check {
	f := p.file(func(base string) bool {
		return base == "node" || base == "nodejs" || strings.HasPrefix(base, "libnode.so")
	})
	if f == "" {
		return nil
	}
	named := p.has("--perf-basic-prof", "--perf-basic-prof-only-functions", "--perf-prof")
	checks := []Check{p.check("names of JavaScript", named, f, "compiled functions have no names: their time is told as having no perf map",
		"start it with node --perf-basic-prof --interpreted-frames-native-stack")}
	if named {
		checks = append(checks, p.check("interpreted JavaScript", p.has("--interpreted-frames-native-stack"), f,
			"functions that are not compiled yet share one name, InterpreterEntryTrampoline", "start it with --interpreted-frames-native-stack, too"))
	}
	return checks
}

func checkJava(p *runtimes) []Check {
	f := p.file(func(base string) bool { return base == "libjvm.so" })
	if f == "" {
		return nil
	}
	_, err := exec.LookPath("jcmd")
	return []Check{
		p.check("frames of Java", p.has("-XX:+PreserveFramePointer"), f, "stacks go astray in compiled code: their time is told as broken, or guessed",
			"start it with java -XX:+PreserveFramePointer"),
		p.check("names of Java", err == nil || p.has("-XX:+DumpPerfMapAtExit"), f, "compiled methods have no names: their time is told as having no perf map",
			"install a JDK here, for jcmd, and record with --java-maps; or start it with java -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit"),
	}
}

func checkOthers(p *runtimes) []Check {
	var checks []Check
	for _, o := range []struct{ name, prefix, file string }{{"Ruby", "libruby", "ruby"}, {"PHP", "libphp", "php"}} {
		f := p.file(func(base string) bool {
			return strings.HasPrefix(base, o.prefix) || strings.TrimRight(base, "0123456789.") == o.file
		})
		if f != "" {
			checks = append(checks, p.check("functions of "+o.name, false, f, "the interpreter's own functions stand for those of "+o.name,
				"Assay does not see through this interpreter yet"))
		}
	}
	return checks
}

// WriteTable writes the report for people.
func (r *ProcessReport) WriteTable(w io.Writer, colour bool) error {
	t := table{new(strings.Builder), colour}
	t.checks(r.Checks)
	if !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Group == groupRuntimes }) {
		fmt.Fprintf(t, "Process %d runs no interpreter or compiler that Assay knows.\n", r.PID)
	}
	t.fixes(r.Checks)
	_, err := io.WriteString(w, t.String())
	return err
}
