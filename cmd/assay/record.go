// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/profiler"
	"github.com/assaylab/assay/profiler/annotate"
	"github.com/assaylab/assay/reports"
	"github.com/assaylab/assay/symbolize"
)

// recordFlags are the flags of record as they are given.
type recordFlags struct {
	opts   profiler.Options
	modes  string
	format string
	output string
	split  bool
	json   bool
	quiet  bool
	memory int // MiB
	names  nameFlags
}

// minUnwindMemory is enough for a few small programs, in MiB.
const minUnwindMemory = 4

// defaultFreq keeps out of step with what happens a hundred times a second.
const defaultFreq = 97

func newRecord() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record [flags] [-- COMMAND [ARGS...]]",
		Short: "Record where time goes, as a pprof profile",
		Long: `record writes a pprof profile of the whole machine, of some processes, of a cgroup, or of a command that it
starts and whose exit status it passes on. A summary goes to stderr: what was found, how complete it is, what it cost.

Modes: cpu samples what runs; offcpu accounts every wait, with its reason and its run-queue time; wall joins both
under each thread. Several, with commas, become sample types of one file, or a file each with --split.`,
		Example: `  sudo assay record --duration 10s
  sudo assay record --mode offcpu --pid 1234 --duration 30s
  sudo assay record --mode wall -o run.pb.gz -- make test
  sudo assay record --format flamegraph -o cpu.html --cgroup /sys/fs/cgroup/system.slice`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.opts.Command = args
			if f.memory < minUnwindMemory || f.memory > bpf.MaxSlabs {
				return fmt.Errorf("--unwind-memory %d: want %d to %d MiB, or --unwind fp to do without", f.memory, minUnwindMemory, bpf.MaxSlabs)
			}
			f.opts.UnwindMemory = f.memory << 20
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.modes, "mode", "m", "cpu", "cpu, offcpu, wall, or several with commas")
	fl.IntVarP(&f.opts.Freq, "freq", "F", defaultFreq, "CPU samples a second and CPU")
	fl.DurationVarP(&f.opts.Duration, "duration", "d", 0, "how long to record (default: until interrupted, or the command ends)")
	fl.IntSliceVarP(&f.opts.PIDs, "pid", "p", nil, "record these processes, with all their threads")
	fl.BoolVar(&f.opts.Children, "children", false, "and their descendants")
	fl.StringVar(&f.opts.Comm, "comm", "", "record threads and processes of this name")
	fl.StringVar(&f.opts.Cgroup, "cgroup", "", "record a cgroup (a folder, v1 or v2) and those below it")
	fl.DurationVar(&f.opts.MinBlock, "min-block", 0, "give shorter waits no stack (they still count in totals)")
	fl.BoolVar(&f.opts.Exact, "exact", false, "take the stack of every wait, however short (costs more)")
	fl.BoolVar(&f.opts.Wakers, "wakers", false, "record who ended each wait, with its stack")
	fl.BoolVar(&f.opts.CPULabel, "cpu-label", false, "tell CPU samples apart by CPU")
	fl.StringVar((*string)(&f.opts.Unwind), "unwind", string(profiler.ByTables), "walk user stacks by unwind tables (auto), or by frame pointers alone (fp)")
	fl.IntVar(&f.memory, "unwind-memory", profiler.DefaultUnwindMemory>>20, "kernel memory for unwind tables, in MiB")
	fl.StringVar(&f.opts.UnwindCache, "unwind-cache", defaultUnwindCache(), "folder where unwind tables are kept for the next time, empty for none")
	fl.BoolVar(&f.opts.JavaMaps, "java-maps", false, "ask Java processes for the names of their compiled code, at the end (jcmd PID Compiler.perfmap)")
	fl.BoolVar(&f.opts.NoGoLabels, "no-go-labels", false, "leave out the labels that goroutines have (runtime/pprof.Do)")
	fl.BoolVar(&f.split, "split", false, "write a file for each mode")
	fl.BoolVar(&f.names.later, "no-symbols", false, "leave the names of programs and libraries to assay symbolize")
	f.names.register(fl)
	fl.StringVar(&f.format, "format", "pprof", "pprof, folded, text or flamegraph")
	fl.StringVarP(&f.output, "output", "o", "", "file to write, - for stdout (default assay-MODE-TIME.pb.gz)")
	fl.BoolVar(&f.json, "json", false, "write the summary as JSON, to stdout")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	return cmd
}

// defaultUnwindCache is a folder for this user, none where there is no home.
func defaultUnwindCache() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "assay", "unwind")
}

// run records, names, writes and sums up.
func (f *recordFlags) run(ctx context.Context, out, errOut io.Writer) (err error) {
	jobs, err := f.plan(time.Now())
	if err != nil {
		return err
	}
	ctx = untilInterrupted(ctx)
	progress := newProgress(errOut, f.quiet)
	f.opts.Progress = progress.show
	deferGC()
	rec, err := profiler.Record(ctx, f.opts)
	progress.clear()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	if err := finish(rec, f.opts, f.names); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := f.write(j, rec.Profile, out); err != nil {
			return err
		}
		if err := f.sumUp(j, rec.Profile, out, errOut); err != nil {
			return err
		}
	}
	return endCommand(ctx, rec)
}

// deferGC makes the garbage collector wait for 32 MB, and then work as usual. To load means to decode all types of the kernel, which
// leaves 8 MB of garbage: most recordings end before they need its room.
func deferGC() {
	usual := debug.SetGCPercent(800) // of the 4 MB that it counts on at least
	type untilFirst [32]byte         // of a size that has its memory for itself
	runtime.AddCleanup(new(untilFirst), func(percent int) { debug.SetGCPercent(percent) }, usual)
}

// interrupted is why a context ended, when it was a signal.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return i.String() }

// untilInterrupted returns a context that the first SIGINT or SIGTERM ends, see [interruption]. A second signal ends the program at once.
func untilInterrupted(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		first := <-signals
		signal.Stop(signals)
		cancel(interrupted{first})
	}()
	return ctx
}

// interruption is the signal that ended a context; nil if none did.
func interruption(ctx context.Context) os.Signal {
	if i, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return i.Signal
	}
	return nil
}

// command is what was started to be watched.
type command interface {
	Signal(s os.Signal) error
	Wait() (code int, err error)
}

// endCommand waits for a command and returns its exit code as an error, if it isn't 0.
func endCommand(ctx context.Context, c command) error {
	// Everyone in the foreground gets a terminal's interrupt, but who ends us alone means the command too.
	if interruption(ctx) == syscall.SIGTERM {
		if err := c.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	code, err := c.Wait()
	if err == nil && code != 0 {
		err = exitCode(code)
	}
	return err
}

// finish gives names to the profile and says what only names can tell.
func finish(rec *profiler.Recording, recorded profiler.Options, names nameFlags) error {
	p := rec.Profile
	opts, err := names.options()
	if err != nil {
		return err
	}
	opts.KernelNames = bpf.KernelNames
	report, err := symbolize.Profile(p, source{rec}, opts)
	if err != nil {
		return err
	}
	if annotate.Interrupted(p) {
		if report, err = symbolize.Profile(p, source{rec}, opts); err != nil {
			return err
		}
	}
	annotate.Waits(p)
	*p = *p.Compact()
	fs, err := facts.Parse(p.Comments)
	if err != nil {
		return err
	}
	addNameFacts(&fs, report, opts.DebugFiles)
	fs.Add("assay_version", version())
	if err := quoteCertificate(&fs, recorded.Modes, recorded.Freq); err != nil {
		fs.Add("warning.certificate", err.Error())
	}
	if err := profiler.AddOwnCost(&fs); err != nil {
		return err
	}
	p.Comments = []string{fs.Comment()}
	return nil
}

// source gives the recording's files to the symbolizer.
type source struct{ rec *profiler.Recording }

func (s source) Object(m *profile.Mapping) (symbolize.Object, error) {
	f, err := s.rec.Object(m)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (s source) PerfMap(m *profile.Mapping) (io.ReadCloser, error) {
	f, err := s.rec.PerfMap(m)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (s source) JITDump(m *profile.Mapping) (io.ReadCloser, error) {
	f, err := s.rec.JITDump(m)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// sumUp prints the summary of a file.
func (f *recordFlags) sumUp(j job, p *profile.Profile, out, errOut io.Writer) error {
	opts := reports.SummaryOptions{File: j.path}
	switch {
	case f.json:
		return reports.SummaryJSON(out, j.part(p), opts)
	case f.quiet:
		return nil
	}
	opts.Color = isTerminal(errOut)
	return reports.Summary(errOut, j.part(p), opts)
}

// progress writes one line over and over, on a terminal only.
type progress struct {
	w     io.Writer
	shown bool
}

func newProgress(w io.Writer, quiet bool) *progress {
	if quiet || !isTerminal(w) {
		return &progress{}
	}
	return &progress{w: w}
}

func (p *progress) show(s profiler.Progress) {
	if p.w == nil {
		return
	}
	parts := []string{fmt.Sprintf("%d s", int(s.Elapsed.Seconds()))}
	if s.Samples > 0 {
		parts = append(parts, fmt.Sprintf("%d samples", s.Samples))
	}
	if s.Waits > 0 {
		parts = append(parts, fmt.Sprintf("%d switches", s.Waits))
	}
	parts = append(parts, fmt.Sprintf("%d stacks (Ctrl-C ends and writes)", s.Stacks))
	p.line("recording: " + strings.Join(parts, ", "))
}

// line shows a text in place of the one before.
func (p *progress) line(text string) {
	if p.w == nil {
		return
	}
	p.shown = true
	if _, err := fmt.Fprint(p.w, "\r\x1b[K"+text); err != nil {
		p.w = nil
	}
}

func (p *progress) clear() {
	if p.w == nil || !p.shown {
		return
	}
	if _, err := fmt.Fprint(p.w, "\r\x1b[K"); err != nil {
		p.w = nil
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
}

// checkOutputs makes sure, before anything is recorded, that each file can be written.
func checkOutputs(jobs []job) error {
	for _, j := range jobs {
		if err := atomicfile.Check(j.path); err != nil {
			return err
		}
	}
	return nil
}
