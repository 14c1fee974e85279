// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// limited runs work that never waits without and with a limit to a fifth of a CPU and some memory, by control groups of version 2, which
// the machines that build this may not have. The work has to become slower by about as much, and the groups have to go.
func limited() (observation, error) {
	const file = "/tmp/limited.jsonl"
	_, complaints, err := assay("run", "load/cpu", "--set", "threads=1", "--warmup", "0s", "--duration", "1s", "--max-blocks", "2", "--quiet", "--output", file,
		"--arm", "limited=knob:cgroup:cpu.max=20% knob:cgroup:memory.max=256M")
	seen := observation{output: complaints}
	if err != nil {
		return seen, err
	}
	rates, err := rates(file)
	if err != nil {
		return seen, err
	}
	share := rates["limited"] / rates["baseline"]
	seen.detail = fmt.Sprintf("a fifth of a CPU did %.0f%% of the work", 100*share)
	if share < 0.1 || share > 0.4 {
		err = errors.New("want about 20%")
	}
	left, globErr := filepath.Glob("/sys/fs/cgroup/assay-*")
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("groups were left: %q", left))
	}
	return seen, errors.Join(err, globErr, os.Remove(file))
}

// rates sums up the throughput of the trials in a file of assay run, by arm.
func rates(path string) (map[string]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sums := map[string]float64{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r struct {
			Arm, Failed string
			Metrics     map[string]struct{ Value float64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		if r.Failed != "" {
			return nil, fmt.Errorf("arm %s: %s", r.Arm, r.Failed)
		}
		sums[r.Arm] += r.Metrics["throughput"].Value
	}
	return sums, lines.Err()
}

const maxLine = 16 << 20
