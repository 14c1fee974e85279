// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

const (
	lineSize = 64   // of a cache
	hops     = 1024 // an operation
)

func chaseKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/chase",
		About: "follows pointers in a random order, one a cache line: the latency of memory, or of a cache if all fits; an operation is 1024 hops",
		Params: []scenarios.Param{
			threadsParam("that follow the same pointers, each from another place"),
			{Name: "size", Type: scenarios.Size, Default: "64M", Min: 2 * lineSize, Max: 256 << 30, About: "of the memory that is visited"},
			{Name: "seed", Type: scenarios.Int, Default: "1", About: "of the order"},
		},
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			return &chaseLoad{threads: v.Int("threads"), lines: v.Size("size") / lineSize, seed: uint64(v.Int("seed"))}, nil
		},
	}
}

type chaseLoad struct {
	threads, lines int
	seed           uint64
	memory         []byte   // each line begins with the offset of the next
	ends           []uint64 // where threads were at the end, that the compiler can't know that nobody cares
}

// Prepare allocates the memory and fills it with one cycle through all lines.
func (c *chaseLoad) Prepare(context.Context) error {
	var err error
	if c.memory, err = mapMemory(c.lines * lineSize); err != nil {
		return err
	}
	c.ends = make([]uint64, c.threads)
	c.link()
	return nil
}

// link makes the cycle, each with the same chance, by Sattolo's algorithm: a shuffle that never leaves an entry in its place, so that
// there is one cycle, where another shuffle makes many, some so short that they fit a cache.
func (c *chaseLoad) link() {
	entry := func(line int) []byte { return c.memory[line*lineSize:] }
	for i := range c.lines {
		binary.NativeEndian.PutUint64(entry(i), uint64(i*lineSize))
	}
	random := rand.New(rand.NewPCG(c.seed, 0))
	for i := c.lines - 1; i > 0; i-- {
		j := random.IntN(i)
		a, b := follow(c.memory, uint64(i*lineSize)), follow(c.memory, uint64(j*lineSize))
		binary.NativeEndian.PutUint64(entry(i), b)
		binary.NativeEndian.PutUint64(entry(j), a)
	}
}

// follow returns the offset that is written at an offset.
func follow(memory []byte, at uint64) uint64 { return binary.NativeEndian.Uint64(memory[at:]) }

func (c *chaseLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	t := threads{n: c.threads, step: func(thread int) func() {
		at, memory := uint64(c.lines*thread/c.threads)*lineSize, c.memory
		return func() {
			for range hops {
				at = follow(memory, at)
			}
			c.ends[thread] = at
		}
	}}
	o, err := t.run(ctx, d)
	if err != nil {
		return nil, err
	}
	o.Values["hop_ns"] = o.Latency.Mean() / hops
	return o, nil
}

func (c *chaseLoad) Close() error {
	memory := c.memory
	c.memory = nil
	if memory == nil {
		return nil
	}
	return unix.Munmap(memory)
}
