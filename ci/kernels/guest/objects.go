// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/assaylab/assay/bpf"
)

// loadObjects gives every program of every eBPF object of assay, suited to this kernel, to its verifier: those too that assay would not use here.
func loadObjects() (observation, error) {
	files, err := filepath.Glob("/objects/*.o")
	if err != nil {
		return observation{}, err
	}
	if len(files) == 0 {
		return observation{}, errors.New("no eBPF object was packed")
	}
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return observation{}, err
	}
	var counts []string
	var problems []error
	for _, file := range files {
		programs, err := loadObject(file, types)
		counts = append(counts, fmt.Sprintf("%s %d", strings.SplitN(filepath.Base(file), "_", 2)[0], programs))
		problems = append(problems, err)
	}
	return observation{detail: "programs: " + strings.Join(counts, ", ")}, errors.Join(problems...)
}

// loadObject loads one object and returns the number of its programs.
func loadObject(file string, types *btf.Spec) (int, error) {
	spec, err := ebpf.LoadCollectionSpec(file)
	if err != nil {
		return 0, err
	}
	if err := bpf.Fit(spec, types); err != nil {
		return 0, err
	}
	loaded, err := ebpf.NewCollection(spec)
	if err != nil && !bpf.Allocates(types) && dropSighted(spec) {
		loaded, err = ebpf.NewCollection(spec)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w%s", filepath.Base(file), err, endOfLog(err))
	}
	defer loaded.Close()
	return len(loaded.Programs), nil
}

// dropSighted takes away programs that have a blind twin, which assay uses where the kernel refuses them.
func dropSighted(spec *ebpf.CollectionSpec) bool {
	before := len(spec.Programs)
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return spec.Programs[name+"_blind"] != nil })
	return len(spec.Programs) < before
}

// endOfLog returns the last lines of the verifier's log: the instructions before the one that it refused.
func endOfLog(err error) string {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return ""
	}
	return fmt.Sprintf("\n%-25v", refused)
}
