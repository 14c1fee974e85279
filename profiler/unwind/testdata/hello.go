// SPDX-License-Identifier: Apache-2.0

// Command hello has goroutines, deferred calls, maps and a large frame.
package main

import "runtime"

type tree struct {
	left, right *tree
	value       int
}

func (t *tree) insert(v int) *tree {
	if t == nil {
		return &tree{value: v}
	}
	if v < t.value {
		t.left = t.left.insert(v)
	} else {
		t.right = t.right.insert(v)
	}
	return t
}

//go:noinline
func large(n int) int {
	var buf [70000]byte
	for i := range buf {
		buf[i] = byte(n * i)
	}
	return int(buf[n%len(buf)])
}

func guarded(n int) (got int) {
	defer func() {
		if r := recover(); r != nil {
			got = large(n)
		}
	}()
	return 1 / (n % 2)
}

func main() {
	var root *tree
	sums := map[int]int{}
	done := make(chan int)
	for i := range 100 {
		root = root.insert(i * 37 % 101)
		sums[i%7] += guarded(i)
		go func() { done <- large(i) }()
	}
	for range 100 {
		sums[0] += <-done
	}
	runtime.GC()
	println(root.value, sums[0])
}
