// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/symbolize"
	"github.com/assaylab/assay/symbolize/debugfile"
)

// nameFlags say how frames are named.
type nameFlags struct {
	later bool // leave files to assay symbolize
	style symbolize.NameStyle
	dirs  []string
}

func (f *nameFlags) register(fl *pflag.FlagSet) {
	fl.BoolVar(&f.style.Full, "full-names", false, "C++ and Rust functions with parameters and template arguments")
	fl.BoolVar(&f.style.Fold, "fold-clones", false, "call parts and clones of a function by its name, without .cold, .isra.0 and the like")
	fl.StringSliceVar(&f.dirs, "debug-dir", nil, "folders with debug files (default /usr/lib/debug)")
}

// options are the symbolizer's.
func (f *nameFlags) options() (*symbolize.Options, error) {
	server, err := debugfile.FromEnvironment()
	if err != nil {
		return nil, err
	}
	finder := &debugfile.Finder{Dirs: f.dirs, Debuginfod: server}
	return &symbolize.Options{LeaveFiles: f.later, Names: f.style, DebugFiles: finder}, nil
}

// maxUnnamedIn bounds how many mappings a profile tells of that have frames without a name.
const maxUnnamedIn = 20

// addNameFacts says in a profile which names it lacks, and why. Facts of an earlier look go.
func addNameFacts(fs *facts.Facts, report *symbolize.Report, finder *debugfile.Finder) {
	for _, group := range []string{"unnamed.", "unnamed_in.", "lineless.", "warning.debuginfod"} {
		fs.Drop(group)
	}
	for _, u := range report.Unnamed() {
		fs.AddInt("unnamed."+factName(string(u.Reason)), int64(u.Locations))
	}
	for i, m := range report.Worst(maxUnnamedIn) {
		fs.Add("unnamed_in."+strconv.Itoa(i), m.String())
	}
	for _, u := range report.Lineless() {
		fs.AddInt("lineless."+factName(string(u.Reason)), int64(u.Locations))
	}
	if failed := failedServers(finder); failed != "" {
		fs.Add("warning.debuginfod", failed)
	}
}

// factName turns a reason into a part of a key: lower case, other characters as _.
func factName(s string) string {
	s, _, _ = strings.Cut(s, " (")
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
}

// failedServers tells of the debuginfod servers that went wrong; "" when none did.
func failedServers(finder *debugfile.Finder) string {
	if finder.Debuginfod == nil {
		return ""
	}
	var all []string
	for server, err := range finder.Debuginfod.Failed() {
		why, _, _ := strings.Cut(err.Error(), "\n")
		all = append(all, server+" was not asked again: "+why)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func newSymbolize() *cobra.Command {
	var names nameFlags
	var output string
	cmd := &cobra.Command{
		Use:   "symbolize [flags] PROFILE",
		Short: "Name the frames of a profile that was recorded without names",
		Long: `symbolize gives functions, files, lines and inlined calls to the addresses of a pprof profile that have none: of one made by
record --no-symbols, also on another machine, or of anyone's whose mappings have build IDs. Files are taken from their
paths where their build ID is the recorded one, from folders of debug files, and from the servers in DEBUGINFOD_URLS.`,
		Example: `  assay symbolize cpu.pb.gz
  DEBUGINFOD_URLS=https://debuginfod.debian.net assay symbolize -o named.pb.gz cpu.pb.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			debug.SetGCPercent(50) // a tenth more CPU time, a sixth less memory at its peak
			return names.symbolize(args[0], cmp.Or(output, args[0]), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	names.register(fl)
	fl.StringVarP(&output, "output", "o", "", "file to write, - for stdout (default: PROFILE itself)")
	return cmd
}

// symbolize names the frames of the profile at path and writes it to output.
func (f *nameFlags) symbolize(path, output string, errOut io.Writer) error {
	p, err := readProfile(path)
	if err != nil {
		return err
	}
	if err := atomicfile.Check(output); err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	opts.Kallsyms = func() (io.ReadCloser, error) {
		return nil, errors.New("known only where and when the profile was recorded")
	}
	report, err := symbolize.Profile(p, foundFiles{opts.DebugFiles}, opts)
	if err != nil {
		return err
	}
	if err := renameFacts(p, report, opts.DebugFiles); err != nil {
		return err
	}
	if err := pprofio.WriteFile(output, p); err != nil {
		return err
	}
	sayNamed(errOut, report)
	if failed := failedServers(opts.DebugFiles); failed != "" {
		fmt.Fprintln(errOut, "assay: warning:", failed)
	}
	return nil
}

func readProfile(path string) (*profile.Profile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := pprofio.Read(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// renameFacts puts what is said of names right in a profile of ours; another's says nothing of them.
func renameFacts(p *profile.Profile, report *symbolize.Report, finder *debugfile.Finder) error {
	for i, c := range p.Comments {
		if !strings.HasPrefix(c, facts.Header) {
			continue
		}
		all, err := facts.Parse([]string{c})
		if err != nil {
			return err
		}
		addNameFacts(&all, report, finder)
		p.Comments[i] = all.Comment()
	}
	return nil
}

// sayNamed sums up in a few lines.
func sayNamed(errOut io.Writer, report *symbolize.Report) {
	locations := 0
	for _, m := range report.Mappings {
		locations += m.Locations
	}
	fmt.Fprintf(errOut, "%d of %d locations have names\n", report.Named(), locations)
	for _, m := range report.Worst(maxUnnamedIn) {
		fmt.Fprintf(errOut, "  %s\n", m)
	}
	for _, u := range report.Lineless() {
		fmt.Fprintf(errOut, "  lines or inlined calls are missing at %d locations: %s\n", u.Locations, u)
	}
}

// foundFiles gives the symbolizer the files that the mappings of a profile name.
type foundFiles struct{ finder *debugfile.Finder }

// Object opens the file of a mapping where it lies now, or else one with its build ID.
func (s foundFiles) Object(m *profile.Mapping) (symbolize.Object, error) {
	image, err := debugfile.Open(m.File)
	if err == nil && (m.BuildID == "" || strings.EqualFold(image.BuildID(), m.BuildID) || image.GoBuildID() == m.BuildID) {
		return fileObject{debugfile.Raw(image), image.Size()}, nil
	}
	if err == nil {
		err = image.Close()
	}
	found, findErr := s.finder.Executable(strings.ToLower(m.BuildID))
	if findErr != nil {
		return nil, errors.Join(err, findErr)
	}
	return fileObject{debugfile.Raw(found), found.Size()}, nil
}

type fileObject struct {
	*os.File
	size int64
}

func (o fileObject) Size() int64 { return o.size }

// PerfMap has none: the process is gone.
func (foundFiles) PerfMap(*profile.Mapping) (io.ReadCloser, error) { return nil, fs.ErrNotExist }

// JITDump has none either.
func (foundFiles) JITDump(*profile.Mapping) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
