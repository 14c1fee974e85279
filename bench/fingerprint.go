// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bench/result"
)

// probe is how long the machine is watched for others' load and stolen time.
const probe = time.Second

// Bounds of what a machine may do by itself and still be fit to measure on, as shares of its CPU time.
const (
	maxSteal = 0.01
	maxOther = 0.05
)

// Fingerprint tells what machine this is, and why it may be unfit to measure on. It takes a second in which nothing of ours runs.
func Fingerprint() (result.Environment, error) {
	e := Machine()
	before, err := readCounters()
	if err != nil {
		return e, err
	}
	time.Sleep(probe)
	after, err := readCounters()
	if err != nil {
		return e, err
	}
	e.Warnings = append(governorWarnings(e.Facts), loadWarnings(after.since(before), e.Facts)...)
	return e, nil
}

// Machine is the part of a fingerprint that doesn't change by itself. It takes a millisecond.
func Machine() result.Environment {
	facts := steadyFacts()
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		fmt.Fprintf(hash, "%s=%s\n", key, facts[key])
	}
	return result.Environment{ID: hex.EncodeToString(hash.Sum(nil))[:12], Facts: facts}
}

// steadyFacts don't change by themselves.
func steadyFacts() map[string]string {
	facts := map[string]string{
		"cpus": strconv.Itoa(runtime.NumCPU()), "arch": runtime.GOARCH,
		"governor":    readTrimmed("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		"smt":         readTrimmed("/sys/devices/system/cpu/smt/control"),
		"mitigations": mitigations(), "cpu_limit": cpuLimit(),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		facts["kernel"] = unix.ByteSliceToString(u.Release[:])
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return facts
	}
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
		facts["cpu_model"] = cpus[0].ModelName
	}
	if mem, err := fs.Meminfo(); err == nil && mem.MemTotalBytes != nil {
		facts["memory_bytes"] = strconv.FormatUint(*mem.MemTotalBytes, 10)
	}
	return facts
}

// readTrimmed is a small file's text, "" where there is none.
func readTrimmed(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// mitigations are the weaknesses of the CPU that the kernel works around, as each costs something.
func mitigations() string {
	files, err := filepath.Glob("/sys/devices/system/cpu/vulnerabilities/*")
	if err != nil {
		return ""
	}
	var on []string
	for _, file := range files {
		if strings.HasPrefix(readTrimmed(file), "Mitigation") {
			on = append(on, filepath.Base(file))
		}
	}
	return strings.Join(on, " ")
}

// cpuLimit is the quota of our cgroup, "" without one that we can see.
func cpuLimit() string {
	if text := readTrimmed("/sys/fs/cgroup/cpu.max"); text != "" && !strings.HasPrefix(text, "max") {
		return text
	}
	if text := readTrimmed("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); text != "" && text != "-1" {
		return text + "us a period"
	}
	return ""
}

func governorWarnings(facts map[string]string) []string {
	if g := facts["governor"]; g != "" && g != "performance" {
		return []string{"CPU frequencies follow the load (governor " + g + "): cpupower frequency-set -g performance"}
	}
	return nil
}

// loadWarnings looks at a second in which we did nothing, and adds what it saw to facts.
func loadWarnings(gained counters, facts map[string]string) (warnings []string) {
	busy := gained["machine_user_s"] + gained["machine_system_s"] + gained["machine_irq_s"] + gained["machine_softirq_s"]
	steal := gained["machine_steal_s"]
	all := busy + steal + gained["machine_idle_s"]
	if all <= 0 {
		return nil
	}
	share := func(x float64) string { return strconv.FormatFloat(100*x/all, 'f', 1, 64) + "%" }
	facts["steal"], facts["other_load"] = share(steal), share(busy)
	if steal > maxSteal*all {
		warnings = append(warnings, "the host takes "+share(steal)+" of the CPU time (steal): measure on a quieter host, or with more blocks")
	}
	if busy > maxOther*all {
		warnings = append(warnings, "others use "+share(busy)+" of the CPU time: stop what needn't run (top shows it)")
	}
	return warnings
}
