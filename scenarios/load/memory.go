// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

func memoryKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/memory",
		About: "copies a buffer in each thread, over and over: the bandwidth of memory, or of a cache if the buffers fit",
		Params: []scenarios.Param{
			threadsParam("that copy, each from a buffer of its own to another"),
			{Name: "size", Type: scenarios.Size, Default: "64M", Min: 64 << 10, Max: 1 << 40, About: "of a buffer; to copy a smaller one takes hardly longer than to read the clock"},
		},
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			return &memoryLoad{threads: v.Int("threads"), size: v.Size("size")}, nil
		},
	}
}

type memoryLoad struct {
	threads, size int
	memory        [][]byte // two buffers a thread
}

// Prepare allocates the buffers and touches each page.
func (m *memoryLoad) Prepare(ctx context.Context) error {
	for range m.threads {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		both, err := mapMemory(2 * m.size)
		if err != nil {
			return err
		}
		m.memory = append(m.memory, both)
	}
	return nil
}

// mapMemory returns memory that is there, not only promised: without it, it's an error, which an allocation of Go's wouldn't be.
func mapMemory(size int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	for i := 0; i < size; i += unix.Getpagesize() { // a page that was only read may be everybody's page of zeros
		memory[i] = 1
	}
	return memory, nil
}

func (m *memoryLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	t := threads{n: m.threads, step: func(thread int) func() {
		from, to := m.memory[thread][:m.size], m.memory[thread][m.size:]
		return func() { copy(to, from) }
	}}
	o, err := t.run(ctx, d)
	if err != nil {
		return nil, err
	}
	o.Values["copied_bytes"] = float64(o.Operations) * float64(m.size)
	return o, nil
}

func (m *memoryLoad) Close() error {
	var errs []error
	for _, memory := range m.memory {
		errs = append(errs, unix.Munmap(memory))
	}
	m.memory = nil
	return errors.Join(errs...)
}
