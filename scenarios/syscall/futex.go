// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the word of a handOff says.
const (
	mine   uint32 = iota // it's the driver's turn
	theirs               // it's the partner's turn
	over                 // the partner is to end, or has ended
)

// The operations of futex(2), on a word that no other process has.
const (
	futexWaitPrivate = 128
	futexWakePrivate = 129
)

var errPartnerEnded = errors.New("futex: the partner has ended")

// A handOff is a word in memory that two threads give each other: each wakes the other with FUTEX_WAKE, and sleeps with FUTEX_WAIT unless
// the word is back already.
type handOff struct {
	word    uint32
	partner sync.WaitGroup
}

func openFutex(where site) (pattern, error) {
	h := &handOff{}
	where.startPartner(&h.partner, h.answer, func() {
		h.end() //nolint:errcheck // a driver that can't be woken can't have been put to sleep
	})
	return h, nil
}

// do gives the word away and waits until it is back. If the partner has ended, it fails and doesn't wait.
func (h *handOff) do() error {
	if err := h.give(mine, theirs); err != nil {
		return err
	}
	return h.await(theirs, mine)
}

// answer gives the word back until it is over, or a call fails.
func (h *handOff) answer() {
	for h.await(mine, theirs) == nil && h.give(theirs, mine) == nil {
	}
}

func (h *handOff) close() error {
	err := h.end()
	h.partner.Wait()
	return err
}

// end makes the word over, for both.
func (h *handOff) end() error {
	atomic.StoreUint32(&h.word, over)
	return h.wake()
}

// give changes whose turn it is, and wakes who waits for it.
func (h *handOff) give(from, to uint32) error {
	if !atomic.CompareAndSwapUint32(&h.word, from, to) {
		return errPartnerEnded
	}
	return h.wake()
}

// await waits while the word is one value, and wants it to be another then.
func (h *handOff) await(while, want uint32) error {
	for atomic.LoadUint32(&h.word) == while {
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&h.word)), futexWaitPrivate, uintptr(while), 0, 0, 0)
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR { // EAGAIN: the word has changed meanwhile
			return fmt.Errorf("futex: wait: %w", errno)
		}
	}
	if atomic.LoadUint32(&h.word) != want {
		return errPartnerEnded
	}
	return nil
}

// wake wakes the other thread, if it sleeps.
func (h *handOff) wake() error {
	if _, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&h.word)), futexWakePrivate, 1, 0, 0, 0); errno != 0 {
		return fmt.Errorf("futex: wake: %w", errno)
	}
	return nil
}
