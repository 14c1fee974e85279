// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/scenarios/catalog"
)

// newWork is the process that does the work of a trial. Nobody calls it by hand.
func newWork() *cobra.Command {
	return &cobra.Command{
		Use:    "work",
		Short:  "Do the work of a trial (used by run)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM)
			defer stop()
			return bench.Serve(ctx, cmd.InOrStdin(), cmd.OutOrStdout(), catalog.Find)
		},
	}
}

// workers is how trials start it: this very program, whatever its file is called by now.
func workers() bench.Launcher {
	return bench.Launcher{Command: []string{"/proc/self/exe", "work"}}
}

// ownCommand is this program for others to start. /proc/self/exe would mean them.
func ownCommand() ([]string, error) {
	path, err := os.Executable()
	return []string{path}, err
}
