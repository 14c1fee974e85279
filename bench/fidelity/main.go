// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/assaylab/assay/scenarios/syscall/replay"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "fidelity:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	rounds  int
	assay   string
	folder  string
	before  string
	command []string
}

func parse(args []string, errOut io.Writer) (*settings, error) {
	var s settings
	flags := flag.NewFlagSet("fidelity", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.IntVar(&s.rounds, "rounds", 9, "how often to record and replay")
	flags.StringVar(&s.assay, "assay", "assay", "the assay to record with")
	flags.StringVar(&s.folder, "folder", "", "in which sandboxes are made, on a file system like the command's (default: that for temporary files)")
	flags.StringVar(&s.before, "before", "", "what the shell does before each recording, such as to remove what the command makes")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	s.command = flags.Args()
	if len(s.command) == 0 || s.rounds < 2 {
		return nil, errors.New("want a command after the flags, and at least 2 rounds")
	}
	return &s, nil
}

// run does what args ask for and writes the report to out.
func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	s, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "assay-fidelity-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	var all rounds
	for range s.rounds {
		recording, err := s.record(ctx, filepath.Join(folder, "trace"), errOut)
		if err != nil {
			return err
		}
		f, err := s.replay(ctx, recording)
		if err != nil {
			return err
		}
		all = append(all, newRound(recording, f))
	}
	return all.report(out)
}

// record records the command into a file and reads that. The command's output goes nowhere.
func (s *settings) record(ctx context.Context, file string, errOut io.Writer) (*trace.Recording, error) {
	if s.before != "" {
		if err := command(ctx, errOut, "sh", "-c", s.before); err != nil {
			return nil, err
		}
	}
	args := append([]string{"capture", "syscalls", "--quiet", "--output", file, "--"}, s.command...)
	if err := command(ctx, errOut, s.assay, args...); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Load(f)
}

func command(ctx context.Context, errOut io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = errOut
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *settings) replay(ctx context.Context, recording *trace.Recording) (f *replay.Fidelity, err error) {
	r, err := replay.New(recording, replay.Options{Folder: s.folder, Speed: 1})
	if err != nil {
		return nil, err
	}
	if err := r.Prepare(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Run(ctx)
}
