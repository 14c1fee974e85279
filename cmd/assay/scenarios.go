// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
	"github.com/assaylab/assay/scenarios/library"
)

func newScenarios() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenarios",
		Short: "Show, check and begin scenarios: what can be measured",
		Long: `A scenario is a kind of work with its parameters, and how it is to be measured, in YAML. Some ship with Assay, and are found by their names.
Others are files: where a scenario is wanted, what has a slash in it or ends in .yaml is a path.`,
		Example: `  assay scenarios list
  assay scenarios show http-open
  assay scenarios new syscall/storm > mine.yaml
  assay scenarios validate mine.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newScenariosList(), newScenariosShow(), newScenariosValidate(), newScenariosNew())
	return cmd
}

func newScenariosList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the scenarios that ship",
		Example: `  assay scenarios list
  assay scenarios list --json | jq -r .[].name`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := library.All(catalog.Kinds())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tKIND\tABOUT")
			for _, s := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Kind.Name, s.About)
			}
			if err := table.Flush(); err != nil {
				return err
			}
			for _, s := range all {
				if err := s.Kind.Lacks(); err != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s can't run here: %v\n", s.Name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the scenarios as JSON")
	return cmd
}

func newScenariosShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show SCENARIO",
		Short: "Show a scenario with all its parameters, and what they mean",
		Long: `show prints a scenario as YAML, a file to begin one's own with. It has all parameters of its kind; comments say what each is for,
what it may be, and its default.`,
		Example: `  assay scenarios show http-open
  assay scenarios show ./mine.yaml --json | jq .parameters`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := findScenario(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return showJSON(cmd.OutOrStdout(), s)
			}
			_, err = cmd.OutOrStdout().Write(s.Manual())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the scenario and its parameters as JSON")
	return cmd
}

func newScenariosValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Say whether files are scenarios, and what is wrong with them",
		Long: `validate prints "FILE: ok", or for each problem a line "FILE:LINE:COLUMN: what is wrong; want …". It exits with 0 when all files are
scenarios, and with 1 otherwise.`,
		Example: `  assay scenarios validate mine.yaml
  assay scenarios validate bench/a.yaml bench/b.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var status error
			for _, path := range args {
				if _, err := scenarios.ReadFile(path, catalog.Kinds()); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
					status = exitCode(1)
				} else if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", path); err != nil {
					return err
				}
			}
			return status
		},
	}
}

func newScenariosNew() *cobra.Command {
	var kinds strings.Builder
	for _, k := range catalog.Kinds() {
		fmt.Fprintf(&kinds, "\n  %-15s %s", k.Name, k.About)
	}
	return &cobra.Command{
		Use:   "new KIND",
		Short: "Print a scenario of a kind to start from",
		Long:  "new prints YAML with all parameters of a kind at their defaults, and in comments what they mean. The kinds:\n" + kinds.String(),
		Example: `  assay scenarios new syscall/storm > mine.yaml
  assay scenarios validate mine.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := scenarios.FindKind(catalog.Kinds(), args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(scenarios.New(kind).Manual())
			return err
		},
	}
}

// findScenario finds a scenario of the library by its name, or one in a file by its path: what has a slash or ends in .yaml.
func findScenario(name string) (*scenarios.Scenario, error) {
	kinds := catalog.Kinds()
	if !strings.Contains(name, "/") && filepath.Ext(name) != ".yaml" {
		return library.Find(name, kinds)
	}
	s, err := scenarios.ReadFile(name, kinds)
	if _, kindErr := catalog.Find(name); err != nil && kindErr == nil {
		return nil, errors.New(name + " is a kind, not a scenario; want one of its scenarios, or a file made by assay scenarios new " + name)
	}
	return s, err
}

// A shownParameter is what show --json says of a parameter.
type shownParameter struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Type    string `json:"type"`
	Allowed string `json:"allowed"`
	About   string `json:"about"`
}

func showJSON(out io.Writer, s *scenarios.Scenario) error {
	values, err := s.Check()
	if err != nil {
		return err
	}
	shown := struct {
		Scenario   *scenarios.Scenario `json:"scenario"`
		Parameters []shownParameter    `json:"parameters"`
	}{Scenario: s}
	for i := range s.Kind.Params {
		p := &s.Kind.Params[i]
		shown.Parameters = append(shown.Parameters, shownParameter{p.Name, values[p.Name], p.Default, string(p.Type), p.Allowed(), p.About})
	}
	return writeJSON(out, shown)
}

func writeJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
