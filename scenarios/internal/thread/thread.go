// SPDX-License-Identifier: Apache-2.0

// Package thread gives work a thread of its own, for what the kernel keeps a thread: namespaces, scheduling, control groups.
package thread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f on a thread that ends afterwards, whatever f made of it, and returns what f returns. Neither f nor what it calls may end
// the goroutine.
//
// The main thread can't end (Go parks it for ever), and /proc/PID speaks of it: were it in a namespace, that would never go away. When f
// would get the main thread, that one is held while f gets another.
func Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and no unlock: that ends the thread with the goroutine
		if unix.Gettid() != os.Getpid() {
			done <- f()
			return
		}
		done <- Do(f)
		runtime.UnlockOSThread()
	}()
	return <-done
}
