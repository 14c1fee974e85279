// SPDX-License-Identifier: Apache-2.0

// Package cpulist reads and writes sets of CPUs as the kernel's files do, "0-3,7" (bitmap_parselist), and their masks (bitmap_parse).
package cpulist

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Max is the highest number of a CPU: the last that sched_setaffinity takes in a set of the usual size.
const Max = 1023

// Parse returns the CPUs of a list, ascending and each once; "" is none.
func Parse(text string) ([]int, error) {
	var set []int
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, errLast := strconv.ParseUint(last, 10, 16)
		if err != nil || errLast != nil || a > b || b > Max {
			return nil, fmt.Errorf("%.60q is no list of CPUs; want one such as 0-3,7, with CPUs up to %d", text, Max)
		}
		for cpu := a; cpu <= b; cpu++ {
			set = append(set, int(cpu))
		}
		if len(set) > 2*Max { // the same ones again and again
			return nil, fmt.Errorf("%.60q names CPUs many times; want each once", text)
		}
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

// Format writes CPUs, which ascend, as Parse reads them.
func Format(cpus []int) string {
	var parts []string
	for at := 0; at < len(cpus); {
		first, last := cpus[at], cpus[at]
		for at++; at < len(cpus) && cpus[at] == last+1; at++ {
			last++
		}
		part := strconv.Itoa(first)
		if last > first {
			part += "-" + strconv.Itoa(last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// bitsPerWord is how many CPUs a number of a mask has.
const bitsPerWord = 32

// ParseMask returns the CPUs of a mask in hexadecimal digits, 32 bits a number, the highest first: "1,00000003" is 0-1,32.
func ParseMask(text string) ([]int, error) {
	var set []int
	words := strings.Split(text, ",")
	slices.Reverse(words)
	for i, word := range words {
		bits, err := strconv.ParseUint(word, 16, bitsPerWord)
		if err != nil || i > Max/bitsPerWord {
			return nil, fmt.Errorf("%.60q is no mask of CPUs, such as ff,00000000", text)
		}
		for bit := range bitsPerWord {
			if bits>>bit&1 != 0 {
				set = append(set, i*bitsPerWord+bit)
			}
		}
	}
	return set, nil
}

// FormatMask writes CPUs, which ascend, as ParseMask reads them.
func FormatMask(cpus []int) string {
	if len(cpus) == 0 {
		return "0"
	}
	words := make([]uint32, cpus[len(cpus)-1]/bitsPerWord+1)
	for _, cpu := range cpus {
		words[cpu/bitsPerWord] |= 1 << (cpu % bitsPerWord)
	}
	slices.Reverse(words)
	text := strconv.FormatUint(uint64(words[0]), 16)
	for _, word := range words[1:] {
		text += fmt.Sprintf(",%08x", word)
	}
	return text
}
