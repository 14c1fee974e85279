// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/doctor"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lets a profiler do, and what mends the rest",
		Long: `doctor tries each thing that profiling needs, for real: what is missing, what it costs to be without, and the
command that mends it. It exits with 0 when CPU profiles can be recorded, and with 1 otherwise.`,
		Example: `  sudo assay doctor
  assay doctor --json | jq .can_record`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := doctor.Run(cmd.Context(), doctor.Options{LoadObjects: loadObjects})
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(report)
			} else {
				err = report.WriteTable(cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()))
			}
			if err == nil && !report.OK() {
				err = exitCode(1)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	return cmd
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
