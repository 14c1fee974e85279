// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/scenarios/knobs"
)

// exitCode is an error that ends the program with a status of its own, and says nothing.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// run is the program: arguments in, output and errors out, exit status returned.
func run(args []string, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	if _, werr := fmt.Fprintln(errOut, "assay:", err); werr != nil {
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "assay",
		Short: "Where a machine's time goes, and how that was measured",
		Long: `Assay records where the time of a Linux machine goes: on CPUs, in run queues and in waits.
It writes pprof profiles, and each says how it was measured: what was lost, how whole its stacks are, what it cost.`,
		Example: `  sudo assay record --duration 10s                   # the whole machine
  sudo assay record --mode cpu,offcpu -- ./server    # a command, from its first instruction
  go tool pprof -http=: assay-cpu-*.pb.gz
  sudo assay doctor                                  # what this machine allows`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			restoreLeft(knobs.DefaultJournal(), cmd.ErrOrStderr())
		},
	}
	root.CompletionOptions.DisableDefaultCmd = false
	root.AddCommand(
		newRecord(), newSymbolize(), newRun(), newOverhead(), newTune(), newCapture(), newScenarios(), newWork(), newDoctor(), newVersion(),
	)
	return root
}

// restoreLeft puts back what a killed run had changed on the machine. What it can't put back is said, and keeps no command from its work:
// those that change the machine see for themselves that the journal is free.
func restoreLeft(journal string, errOut io.Writer) {
	said, err := knobs.RestoreLeft(journal)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		err = nil // who may not read a journal has not left it
	}
	if said != "" {
		fmt.Fprintln(errOut, "assay:", said)
	}
	if err != nil {
		fmt.Fprintln(errOut, "assay:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "assay %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
