// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/assaylab/assay/scenarios/internal/cpulist"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// A control is something that a control group sets.
type control struct {
	name       string // of the file in version 2
	controller string
	check      func(value string) (string, error)
	// encode returns what to write, by file; decode reads it back. Version 2 is true or false.
	encode func(value string, unified bool) [][2]string
	decode func(read func(file string) (string, error), unified bool) (string, error)
}

var controls = []control{
	{"cpu.max", "cpu", checkQuota, encodeQuota, decodeQuota},
	{"cpu.weight", "cpu", checkWeight, encodeWeight, decodeWeight},
	{"memory.max", "memory", checkMemory, encodeMemory, decodeMemory},
	{"cpuset.cpus", "cpuset", checkCPUSet, encodeCPUSet, decodeCPUSet},
}

func findControl(name string) (control, error) {
	var names []string
	for _, c := range controls {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return control{}, fmt.Errorf("there is no such knob; %s", nearest.Want(name, names))
}

// period is that of quotas, in µs.
const (
	period   = 100_000
	maxQuota = 100 * (cpulist.Max + 1) // percent of one CPU
	noQuota  = "max"
)

func checkQuota(value string) (string, error) {
	if value == noQuota {
		return value, nil
	}
	number, ok := strings.CutSuffix(value, "%")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n < 1 || n > maxQuota {
		return "", errors.New("want max, or a share of one CPU such as 50% or 150%")
	}
	return strconv.FormatUint(n, 10) + "%", nil
}

func encodeQuota(value string, unified bool) [][2]string {
	quota := value
	if n, err := strconv.Atoi(strings.TrimSuffix(value, "%")); err == nil {
		quota = strconv.Itoa(n * period / 100)
	}
	if unified {
		return [][2]string{{"cpu.max", fmt.Sprintf("%s %d", quota, period)}}
	}
	if quota == noQuota {
		quota = "-1"
	}
	return [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}
}

func decodeQuota(read func(string) (string, error), unified bool) (string, error) {
	var text string
	var err error
	if unified {
		text, err = read("cpu.max")
	} else {
		var quota, length string
		quota, err = read("cpu.cfs_quota_us")
		if err == nil {
			length, err = read("cpu.cfs_period_us")
		}
		text = quota + " " + length
	}
	if errors.Is(err, fs.ErrNotExist) { // the root of version 2
		return noQuota, nil
	}
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(text, noQuota) || strings.HasPrefix(text, "-1") {
		return noQuota, nil
	}
	var quota, length float64
	if _, err := fmt.Sscan(text, &quota, &length); err != nil || length == 0 {
		return "", fmt.Errorf("quota %q: %w", text, err)
	}
	return strconv.FormatFloat(100*quota/length, 'f', -1, 64) + "%", nil
}

// Version 1 has shares, whose standard is 1024 where weights have 100.
const (
	standardWeight = 100
	standardShares = 1024
	maxWeight      = 10_000
)

func checkWeight(value string) (string, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n < 1 || n > maxWeight {
		return "", fmt.Errorf("want a weight of 1 to %d; %d is standard", maxWeight, standardWeight)
	}
	return strconv.FormatUint(n, 10), nil
}

func encodeWeight(value string, unified bool) [][2]string {
	if unified {
		return [][2]string{{"cpu.weight", value}}
	}
	n, _ := strconv.Atoi(value) //nolint:errcheck // it was checked
	return [][2]string{{"cpu.shares", strconv.Itoa((n*standardShares + standardWeight/2) / standardWeight)}}
}

func decodeWeight(read func(string) (string, error), unified bool) (string, error) {
	file := "cpu.shares"
	if unified {
		file = "cpu.weight"
	}
	text, err := read(file)
	if errors.Is(err, fs.ErrNotExist) { // the root of version 2
		return strconv.Itoa(standardWeight), nil
	}
	if err != nil || unified {
		return text, err
	}
	n, err := strconv.Atoi(text)
	return strconv.Itoa((n*standardWeight + standardShares/2) / standardShares), err
}

func checkCPUSet(value string) (string, error) {
	cpus, err := cpulist.Parse(value)
	return cpulist.Format(cpus), err
}

func encodeCPUSet(value string, _ bool) [][2]string { return [][2]string{{"cpuset.cpus", value}} }

func decodeCPUSet(read func(string) (string, error), unified bool) (string, error) {
	file := "cpuset.cpus"
	if unified {
		file = "cpuset.cpus.effective"
	}
	return read(file)
}

// checkMemory wants bytes, or no limit. The kernel keeps whole pages.
func checkMemory(value string) (string, error) {
	if value == noQuota {
		return value, nil
	}
	page := uint64(os.Getpagesize())
	n, err := strconv.ParseUint(value, 10, 62)
	if err != nil || n < page {
		return "", fmt.Errorf("want max, or bytes from %d on", page)
	}
	return strconv.FormatUint(n/page*page, 10), nil
}

func encodeMemory(value string, unified bool) [][2]string {
	if unified {
		return [][2]string{{"memory.max", value}}
	}
	if value == noQuota {
		value = "-1"
	}
	return [][2]string{{"memory.limit_in_bytes", value}}
}

func decodeMemory(read func(string) (string, error), unified bool) (string, error) {
	file := "memory.limit_in_bytes"
	if unified {
		file = "memory.max"
	}
	text, err := read(file)
	if errors.Is(err, fs.ErrNotExist) { // the root of version 2
		return noQuota, nil
	}
	const noLimit = 1 << 62 // version 1 says the largest count of pages in bytes
	if n, parseErr := strconv.ParseUint(text, 10, 64); parseErr == nil && n >= noLimit {
		return noQuota, err
	}
	return text, err
}
