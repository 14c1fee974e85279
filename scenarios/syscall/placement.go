// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// placementParam says where the threads of a crew run. Whether two threads that hand something to each other are on one CPU or on two
// changes what that takes several times over, and by luck: that hides all smaller differences.
const (
	placementParam = "placement"
	anywhere       = "any"
	together       = "together"
)

// places returns the CPUs of each thread, nil for anywhere.
func (c *crew) places() ([]*unix.CPUSet, error) {
	places := make([]*unix.CPUSet, c.threads)
	if !c.together {
		return places, nil
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("CPUs that may be used: %w", err)
	}
	var cpus []int
	for cpu := range len(allowed) * wordBits {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	for i := range places {
		places[i] = &unix.CPUSet{}
		places[i].Set(cpus[i%len(cpus)])
	}
	return places, nil
}

// wordBits are the bits of a word of a CPU set.
const wordBits = 64

// pin keeps the calling thread to the site's CPUs. It can't be undone, so the thread has to end with its work.
func (w site) pin() error {
	if w.cpus == nil {
		return nil
	}
	if err := unix.SchedSetaffinity(0, w.cpus); err != nil {
		return fmt.Errorf("keep to a CPU: %w", err)
	}
	return nil
}

// startPartner starts a partner on a thread of its own: it answers, and then does what tells the driver that it has ended. g waits for it.
func (w site) startPartner(g *sync.WaitGroup, answer, ended func()) {
	g.Go(func() {
		defer ended()
		thread.Do(func() error { //nolint:errcheck // a driver whose partner couldn't begin fails, as with one that ended
			if err := w.pin(); err != nil {
				return err
			}
			answer()
			return nil
		})
	})
}
