// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

const (
	namesInRun = 64
	nameBytes  = 640
)

// KernelNames asks the kernel for the symbols that addresses of its code lie in: "name", or "name [module]", "" where there is
// none. It needs CAP_BPF and CAP_PERFMON, and works where /proc/kallsyms hides addresses too.
func KernelNames(addresses []uint64) (names []string, err error) {
	spec, err := LoadNames()
	if err != nil {
		return nil, fmt.Errorf("eBPF object: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("kernel names: %w", err)
	}
	defer coll.Close()
	names = make([]string, 0, len(addresses))
	for len(addresses) > 0 {
		n := min(len(addresses), namesInRun)
		if names, err = appendNames(names, coll, addresses[:n]); err != nil {
			return nil, fmt.Errorf("kernel names: %w", err)
		}
		addresses = addresses[n:]
	}
	return names, nil
}

// appendNames asks for the names of at most namesInRun addresses.
func appendNames(names []string, coll *ebpf.Collection, addresses []uint64) ([]string, error) {
	var in [namesInRun]uint64
	var out [namesInRun][nameBytes]byte
	copy(in[:], addresses)
	if err := coll.Variables["addresses"].Set(in); err != nil {
		return nil, err
	}
	status, err := coll.Programs["assay_names"].Run(&ebpf.RunOptions{})
	if err == nil && status != 0 {
		err = fmt.Errorf("program returned %d", status)
	}
	if err := errors.Join(err, coll.Variables["names"].Get(&out)); err != nil {
		return nil, err
	}
	for i := range addresses {
		name, _, _ := bytes.Cut(out[i][:], []byte{0})
		if bytes.HasPrefix(name, []byte("0x")) {
			name = nil // its own address: no symbol
		}
		names = append(names, string(name))
	}
	return names, nil
}
