// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// spinning is how long before a time an alarm stops to sleep: a little more than a timer is late. Spinning longer makes little less late
// and takes CPU from what is measured: with 100 µs, and 10,000 operations a second on a machine of two CPUs, the median latency of a
// service that does nothing was 350 µs instead of 37. To spin it yields to other goroutines, one of which is the next operator. But the
// runtime looks for answers only when no goroutine can run: where arrivals come so fast that there is no time to sleep before one, it
// doesn't spin either.
const spinning = 30 * time.Microsecond

// An alarm waits for times, much more exactly than time.Sleep, which wakes up to 1 ms late: the runtime waits in epoll, whose timeout
// counts milliseconds. A timer of the kernel's that epoll watches wakes about 20 µs late. So does nanosleep, but it holds one of the
// runtime's processors until the runtime notices, which took up to 10 ms from the goroutines that serve.
//
// One goroutine at a time may wait.
type alarm struct {
	fd    int // of timer, whose own Fd method would make it block a thread
	timer *os.File
	ctx   context.Context // waiting ends with it
	quiet func() bool     // forgets about ctx
}

func newAlarm(ctx context.Context) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	a := &alarm{fd: fd, timer: os.NewFile(uintptr(fd), "timerfd"), ctx: ctx}
	a.quiet = context.AfterFunc(ctx, func() {
		a.timer.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed timer has nobody waiting
	})
	return a, nil
}

func (a *alarm) close() error {
	a.quiet()
	return a.timer.Close()
}

// wait returns at a time, or at once if it is past. It fails when the context is done, and when the timer doesn't work.
func (a *alarm) wait(t time.Time) error {
	for slept := false; ; slept = true {
		left := time.Until(t)
		switch {
		case a.ctx.Err() != nil:
			return a.ctx.Err()
		case left <= 0:
			return nil
		case left > spinning:
			if err := a.sleep(left - spinning); err != nil {
				return err
			}
		case !slept:
			if err := a.sleep(left); err != nil {
				return err
			}
		default:
			runtime.Gosched()
		}
	}
}

func (a *alarm) sleep(d time.Duration) error {
	after := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if err := unix.TimerfdSettime(a.fd, 0, &after, nil); err != nil {
		return fmt.Errorf("set timer: %w", err)
	}
	var expired [8]byte
	if _, err := a.timer.Read(expired[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for timer: %w", err)
	}
	return nil
}
