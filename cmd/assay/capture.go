// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/profiler/syscalls"
	"github.com/assaylab/assay/reports"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

func newCapture() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "capture",
		Short: "Record what a program asks of the machine, to replay it",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newCaptureSyscalls())
	return cmd
}

// captureFlags are the flags of capture syscalls as they are given.
type captureFlags struct {
	opts   syscalls.Options
	output string
	json   bool
	quiet  bool
}

func newCaptureSyscalls() *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use:   "syscalls {--pid PID | --cgroup FOLDER | -- COMMAND [ARGS...]}",
		Short: "Record system calls, one by one",
		Long: `capture syscalls records every system call of some processes and their descendants, of a cgroup, or of a command that it starts and whose
exit status it passes on: thread, name, start, duration, result, the numbers among the arguments, what kind of file a descriptor is, and paths.
What is read or written is never recorded. A summary goes to stderr: how many calls, and what was lost.`,
		Example: `  sudo assay capture syscalls -o status.trace -- git status
  sudo assay capture syscalls --pid 1234 --duration 10s
  sudo assay capture syscalls --no-paths --cgroup /sys/fs/cgroup/system.slice`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.opts.Command = args
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.IntSliceVarP(&f.opts.PIDs, "pid", "p", nil, "record these processes, with all their threads and descendants")
	fl.StringVar(&f.opts.Cgroup, "cgroup", "", "record a cgroup (a folder, v1 or v2) and those below it")
	fl.DurationVarP(&f.opts.Duration, "duration", "d", 0, "how long to record (default: until interrupted, or the command ends)")
	fl.BoolVar(&f.opts.NoPaths, "no-paths", false, "a number for each distinct path and address, in place of it")
	fl.StringVarP(&f.output, "output", "o", "", "file to write, - for stdout (default assay-syscalls-TIME.trace)")
	fl.BoolVar(&f.json, "json", false, "write the summary as JSON, to stdout")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	return cmd
}

// run records into the file and sums up.
func (f *captureFlags) run(ctx context.Context, out, errOut io.Writer) error {
	if f.json && f.output == "-" {
		return errors.New("--json and --output -: both want stdout; give the recording a file")
	}
	if f.output == "" {
		f.output = "assay-syscalls-" + time.Now().Format("20060102-150405") + ".trace"
	}
	if err := atomicfile.Check(f.output); err != nil {
		return err
	}
	ctx = untilInterrupted(ctx)
	progress := newProgress(errOut, f.quiet)
	f.opts.Progress = func(p syscalls.Progress) {
		progress.line(fmt.Sprintf("recording: %d s, %d calls, %d lost (Ctrl-C ends and writes)", int(p.Elapsed.Seconds()), p.Calls, p.Lost))
	}
	rec, err := f.capture(ctx)
	progress.clear()
	if err != nil {
		return err
	}
	if err := f.sumUp(rec, out, errOut); err != nil {
		return err
	}
	return endCommand(ctx, rec)
}

// capture writes the recording while it goes on.
func (f *captureFlags) capture(ctx context.Context) (*syscalls.Recording, error) {
	var rec *syscalls.Recording
	var recErr error
	err := atomicfile.Write(f.output, 0o644, func(w io.Writer) error {
		rec, recErr = f.record(ctx, w)
		return recErr
	})
	if recErr != nil && rec == nil {
		return nil, recErr // before anything was written
	}
	return rec, err
}

func (f *captureFlags) record(ctx context.Context, w io.Writer) (*syscalls.Recording, error) {
	header, err := f.header()
	if err != nil {
		return nil, err
	}
	var writer *trace.Writer
	f.opts.Started = func(began time.Time, empty time.Duration) (err error) {
		header.Began, header.Empty = began, empty
		writer, err = trace.NewWriter(w, header)
		return err
	}
	var call trace.Call
	rec, err := syscalls.Record(ctx, f.opts, func(c *syscalls.Call) error {
		toTrace(&call, c)
		return writer.Write(&call)
	})
	if err != nil {
		return rec, err
	}
	lost := map[string]uint64{}
	for cause, n := range rec.Lost {
		lost[cause] = uint64(n)
	}
	return rec, writer.Close(lost)
}

func (f *captureFlags) header() (trace.Header, error) {
	h := trace.Header{Arch: runtime.GOARCH, Command: f.opts.Command}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return h, fmt.Errorf("kernel release: %w", err)
	}
	h.Kernel = unix.ByteSliceToString(kernel.Release[:])
	if len(f.opts.Command) == 0 || f.opts.NoPaths {
		return h, nil
	}
	var err error
	h.Folder, err = os.Getwd()
	return h, err
}

// toTrace makes a call of a recording of one of the recorder.
func toTrace(t *trace.Call, c *syscalls.Call) {
	*t = trace.Call{
		Thread: c.Thread, Process: c.Process, Name: c.Name, Start: c.Start, Duration: c.Duration, Result: c.Result, Args: c.Args,
		Path: c.Path, Path2: c.Path2, FD: classOf(c.File), Size: c.Size,
	}
}

// classes are the classes of files that are no sockets.
var classes = [...]trace.FDClass{
	syscalls.NoFile: trace.NoFD, syscalls.Regular: trace.Regular, syscalls.Directory: trace.Directory, syscalls.Pipe: trace.Pipe,
	syscalls.EventFD: trace.EventFD, syscalls.Epoll: trace.Epoll, syscalls.TimerFD: trace.TimerFD, syscalls.SignalFD: trace.SignalFD,
	syscalls.TTY: trace.TTY, syscalls.Device: trace.Device, syscalls.Other: trace.OtherFD,
}

// socketClasses are the classes of sockets by family and type.
var socketClasses = map[[2]uint16]trace.FDClass{
	{unix.AF_UNIX, unix.SOCK_STREAM}:    trace.UnixStream,
	{unix.AF_UNIX, unix.SOCK_DGRAM}:     trace.UnixDatagram,
	{unix.AF_UNIX, unix.SOCK_SEQPACKET}: trace.UnixSeqpacket,
	{unix.AF_INET, unix.SOCK_STREAM}:    trace.InetStream,
	{unix.AF_INET, unix.SOCK_DGRAM}:     trace.InetDatagram,
	{unix.AF_INET6, unix.SOCK_STREAM}:   trace.Inet6Stream,
	{unix.AF_INET6, unix.SOCK_DGRAM}:    trace.Inet6Datagram,
}

func classOf(f syscalls.File) trace.FDClass {
	if f.Kind != syscalls.Socket {
		return classes[f.Kind]
	}
	if class, ok := socketClasses[[2]uint16{f.Family, f.Type}]; ok {
		return class
	}
	if f.Family == unix.AF_NETLINK {
		return trace.Netlink
	}
	return trace.OtherSocket
}

// sumUp says what was recorded.
func (f *captureFlags) sumUp(rec *syscalls.Recording, out, errOut io.Writer) error {
	c := &reports.Capture{
		File: f.output, DurationNS: int64(rec.Elapsed), EmptyNS: int64(rec.Empty), Calls: rec.Calls, Names: rec.Names,
		Lost: rec.Lost, Partial: rec.Partial, Unfollowed: rec.Unfollowed,
	}
	switch {
	case f.json:
		return reports.CaptureJSON(out, c)
	case f.quiet:
		return nil
	}
	return reports.CaptureSummary(errOut, c)
}
