// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler"
	"github.com/assaylab/assay/profiler/doctor"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	var pid int
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lets a profiler do, and what mends the rest",
		Long: `doctor tries each thing that profiling needs, for real: what is missing, what it costs to be without, and the
command that mends it. It exits with 0 when CPU profiles can be recorded, and with 1 otherwise.

With --pid it says of one process what would break its stacks: which of its code a walk can get through, where it has to guess and why,
whether it is known where stacks end; and which interpreters and compilers it runs, and what they lack for names.`,
		Example: `  sudo assay doctor
  assay doctor --json | jq .can_record
  sudo assay doctor --pid 1234`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("pid") {
				report, err := doctor.Process(pid, profiler.DefaultUnwindMemory)
				if err != nil {
					return err
				}
				return writeReport(cmd.OutOrStdout(), report, asJSON)
			}
			report, err := doctor.Run(cmd.Context(), doctor.Options{LoadObjects: loadObjects})
			if err != nil {
				return err
			}
			err = writeReport(cmd.OutOrStdout(), report, asJSON)
			if err == nil && !report.OK() {
				err = exitCode(1)
			}
			return err
		},
	}
	cmd.Flags().IntVarP(&pid, "pid", "p", 0, "a process, in place of the machine")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	return cmd
}

// writeReport writes a report as JSON or as a table.
func writeReport(w io.Writer, report interface{ WriteTable(io.Writer, bool) error }, asJSON bool) error {
	if !asJSON {
		return report.WriteTable(w, isTerminal(w))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

// loadObjects loads and frees what each mode needs.
func loadObjects() []doctor.LoadResult {
	load := func(name string, config bpf.Config, modes ...string) doctor.LoadResult {
		k, err := bpf.Load(config)
		if err == nil {
			err = k.Close()
		}
		return doctor.LoadResult{Name: name, Err: err, Modes: modes}
	}
	return []doctor.LoadResult{
		load("cpu sampling", bpf.Config{CPU: true}, doctor.ModeCPU, doctor.ModeWall),
		load("off-CPU accounting", bpf.Config{OffCPU: true}, doctor.ModeOffCPU, doctor.ModeWall),
		load("wakers", bpf.Config{OffCPU: true, Wakers: true}, doctor.ModeWakers),
	}
}
