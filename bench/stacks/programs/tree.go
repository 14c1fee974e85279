// SPDX-License-Identifier: Apache-2.0

//go:build ignore

// Command tree sorts, formats and allocates under recursion, on some goroutines, for as many seconds as its argument says.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

func walk(depth int, x uint64) uint64 {
	if depth == 0 {
		numbers := make([]uint64, 200)
		for i := range numbers {
			numbers[i] = (x * uint64(i)) % 101
		}
		slices.SortFunc(numbers, func(a, b uint64) int { return int(b) - int(a) })
		return numbers[20] + uint64(len(fmt.Sprint(numbers[:5])))
	}
	return walk(depth-1, x+1) + walk(depth-1, x+2)
}

func main() {
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tree:", err)
		os.Exit(2)
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for x := uint64(i); time.Now().Before(end); {
				x = walk(6, x%1000)
			}
		})
	}
	all.Wait()
}
