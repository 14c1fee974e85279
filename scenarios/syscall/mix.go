// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/assaylab/assay/scenarios"
)

func mixKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "syscall/mix",
		About: "makes several system calls as fast as possible in each of some threads, drawing the next one by weight",
		Params: append([]scenarios.Param{
			{
				Name: "mix", Type: scenarios.Text, Default: "getpid=70,read=20,open=10",
				About: "calls and their weights, whole numbers; " + aboutCalls(),
			},
			{
				Name: "seed", Type: scenarios.Int, Default: "1", Max: 1 << 32,
				About: "of the draws: with the same one, a thread makes the same calls in the same order in each run",
			},
		}, crewParams()...),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			shares, err := parseMix(v.Text("mix"))
			if err != nil {
				return nil, fmt.Errorf("parameter mix: %w", err)
			}
			kinds := make([]*call, len(shares))
			for i, s := range shares {
				kinds[i] = s.call
			}
			members, err := newCrew(v, kinds...)
			if err != nil {
				return nil, err
			}
			return &mix{crew: members, shares: shares, seed: uint64(v.Int("seed"))}, nil
		},
	}
}

// A mix is threads that draw each next call.
type mix struct {
	crew
	shares []share
	seed   uint64
}

// Run makes calls until the time is over. The outcome has how often each was made, without failures ("getpid_count"), and latencies only
// if all calls are of those whose operation takes microseconds.
func (m *mix) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	mixtures := make([]*mixture, m.threads)
	o, err := m.run(ctx, d, func(thread int, where site) (pattern, error) {
		mixed, err := openMixture(m.shares, rand.NewPCG(m.seed, uint64(thread)), where)
		mixtures[thread] = mixed
		return mixed, err
	})
	if err != nil {
		return nil, err
	}
	for i, s := range m.shares {
		for _, mixed := range mixtures {
			o.Values[s.call.name+"_count"] += float64(mixed.counts[i])
		}
	}
	return o, nil
}

// A mixture is a pattern that draws one of several for each operation.
type mixture struct {
	shares   []share
	random   *rand.Rand
	total    int       // of the weights
	patterns []pattern // one a share
	counts   []int64   // operations of each that didn't fail
}

func openMixture(shares []share, source rand.Source, where site) (*mixture, error) {
	m := &mixture{shares: shares, random: rand.New(source), counts: make([]int64, len(shares))}
	for _, s := range shares {
		p, err := s.call.open(where)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", s.call.name, err), m.close())
		}
		m.patterns = append(m.patterns, p)
		m.total += s.weight
	}
	return m, nil
}

// draw returns the index of a share.
func (m *mixture) draw() int {
	i := 0
	for n := m.random.IntN(m.total); n >= m.shares[i].weight; i++ {
		n -= m.shares[i].weight
	}
	return i
}

func (m *mixture) do() error {
	i := m.draw()
	if err := m.patterns[i].do(); err != nil {
		return fmt.Errorf("%s: %w", m.shares[i].call.name, err)
	}
	m.counts[i]++
	return nil
}

func (m *mixture) close() error {
	var errs []error
	for _, p := range m.patterns {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
