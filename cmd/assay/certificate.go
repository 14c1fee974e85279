// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/profiler"
)

// maxCertificate bounds the file that is believed to be a certificate.
const maxCertificate = 1 << 20

// certificatePath is where the certificate of this machine is kept. ASSAY_STATE_DIR is for another folder.
func certificatePath() string {
	folder := os.Getenv("ASSAY_STATE_DIR")
	if folder == "" {
		folder = "/var/lib/assay"
	}
	return filepath.Join(folder, "overhead.json")
}

// writeCertificate keeps what our own recorder costs.
func writeCertificate(o *result.Overhead) error {
	own := *o
	own.Tools, own.Workloads = nil, nil
	arms := map[string]bool{bench.SameAgain: true}
	for _, t := range o.Tools {
		if strings.HasPrefix(t.Spec, ownSpec) {
			own.Tools = append(own.Tools, t)
			arms[t.Arm] = true
		}
	}
	for _, w := range o.Workloads {
		w.Costs = slices.DeleteFunc(slices.Clone(w.Costs), func(c result.Cost) bool { return !arms[c.Arm] })
		own.Workloads = append(own.Workloads, w)
	}
	path := certificatePath()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return writeJSON(w, own) })
}

// readCertificate returns the certificate of this machine, nil without one.
func readCertificate() (*result.Overhead, error) {
	file, err := os.Open(certificatePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	defer file.Close()
	var o result.Overhead
	if err := json.NewDecoder(io.LimitReader(file, maxCertificate)).Decode(&o); err != nil {
		return nil, fmt.Errorf("certificate %s: %w; assay overhead --certify writes a new one", file.Name(), err)
	}
	if o.Version != result.Version {
		return nil, fmt.Errorf("certificate %s is of version %d; assay overhead --certify writes a new one", file.Name(), o.Version)
	}
	return &o, nil
}

// quoteCertificate adds what recording in this way was measured to cost, if that was on this machine and kernel.
func quoteCertificate(f *facts.Facts, modes []profiler.Mode, freq int) error {
	o, err := readCertificate()
	if err != nil || o == nil || o.Environment.ID != bench.Machine().ID {
		return err
	}
	n := 0
	for _, mode := range modes {
		for _, tool := range o.Tools {
			if !certifies(tool.Spec, mode, freq) {
				continue
			}
			for _, line := range certified(o, tool.Arm) {
				f.Add("certified."+strconv.Itoa(n), string(mode)+": "+line)
				n++
			}
		}
	}
	return nil
}

// certifies says whether an arm was our recorder in a mode, at a frequency where the mode has one.
func certifies(spec string, mode profiler.Mode, freq int) bool {
	what, own := strings.CutPrefix(spec, ownSpec)
	name, hz, ok := strings.Cut(what, "@")
	if !ok {
		hz = strconv.Itoa(defaultFreq)
	}
	return own && name == string(mode) && (mode == profiler.OffCPU || hz == strconv.Itoa(freq))
}

// certified says of each workload what an arm cost it.
func certified(o *result.Overhead, arm string) []string {
	unfit := ""
	if len(o.Environment.Warnings) > 0 {
		unfit = "; the machine was unfit to measure on"
	}
	var lines []string
	for _, w := range o.Workloads {
		for _, c := range w.Costs {
			if c.Arm == arm && c.Slowdown.Known() {
				lines = append(lines, fmt.Sprintf("%s slowed by %.1f%% (95%%: %.1f%% to %.1f%%, %d blocks) on %s, assay %s%s", w.Scenario,
					100*(c.Slowdown.Ratio-1), 100*(c.Slowdown.Low-1), 100*(c.Slowdown.High-1), c.Blocks, o.Start.Format("2006-01-02"), o.Assay, unfit))
			}
		}
	}
	return lines
}
