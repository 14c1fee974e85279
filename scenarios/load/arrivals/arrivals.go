// SPDX-License-Identifier: Apache-2.0

package arrivals

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// A Schedule is the intended start times, from the start of the load and never falling. It can be walked again.
type Schedule = iter.Seq[time.Duration]

// Constant is an arrival at 0 and then rate a second, without end. The rate has to be above 0.
func Constant(rate float64) Schedule {
	return func(yield func(time.Duration) bool) {
		for n := 0; yield(seconds(float64(n) / rate)); n++ {
		}
	}
}

// Poisson is arrivals that know nothing of each other, rate a second on average, without end: the gaps, also that before the first, are
// exponential. The rate has to be above 0.
func Poisson(rate float64, seed uint64) Schedule {
	return func(yield func(time.Duration) bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		for at := random.ExpFloat64(); yield(seconds(at / rate)); at += random.ExpFloat64() {
		}
	}
}

// Ramp is arrivals whose rate goes evenly from one to another over a time, and then ends; either rate may be 0. The n-th comes when the
// integral of the rate, from·t + (to−from)·t²/2·over, reaches n.
func Ramp(from, to float64, over time.Duration) Schedule {
	return func(yield func(time.Duration) bool) {
		slope := (to - from) / over.Seconds()
		total := (from + to) / 2 * over.Seconds()
		for n := 0; float64(n) < total; n++ {
			if !yield(min(seconds(rampTime(float64(n), from, slope)), over)) {
				return
			}
		}
	}
}

// rampTime solves from·t + slope·t²/2 = n. This form of the quadratic's root doesn't cancel for small slopes.
func rampTime(n, from, slope float64) float64 {
	if n == 0 {
		return 0
	}
	return 2 * n / (from + math.Sqrt(max(0, from*from+2*n*slope)))
}

// A Step is a rate (a second; 0 is a pause) and how long it lasts.
type Step struct {
	Rate float64
	For  time.Duration
}

// Steps is one constant rate after another, and then ends. What a step leaves of an arrival counts in the next: half of one in a step,
// and half in the next, is one arrival.
func Steps(steps ...Step) Schedule {
	return func(yield func(time.Duration) bool) {
		n, begin, due := 0, time.Duration(0), 0.0 // due is how many were due before this step
		for _, s := range steps {
			end := due + s.Rate*s.For.Seconds()
			// Sums of whole numbers computed in fractions miss by less than this, which is nobody's arrival.
			for ; float64(n) < end-1e-9; n++ {
				if !yield(begin + max(0, seconds((float64(n)-due)/s.Rate))) {
					return
				}
			}
			begin, due = begin+s.For, end
		}
	}
}

// Trace is recorded times, which may not fall, played at a speed: at 2 all comes twice as fast. The first comes at 0.
func Trace(times []time.Duration, speed float64) Schedule {
	return func(yield func(time.Duration) bool) {
		for _, at := range times {
			if !yield(Scale(at-times[0], speed)) {
				return
			}
		}
	}
}

// Scale is when something that was recorded at a time comes at a speed.
func Scale(at time.Duration, speed float64) time.Duration { return nanoseconds(float64(at) / speed) }

// Until cuts a schedule: only arrivals before end remain.
func Until(s Schedule, end time.Duration) Schedule {
	return func(yield func(time.Duration) bool) {
		for at := range s {
			if at >= end || !yield(at) {
				return
			}
		}
	}
}

// seconds is a time; those beyond what a Duration can hold are its longest.
func seconds(x float64) time.Duration {
	return nanoseconds(x * float64(time.Second))
}

func nanoseconds(x float64) time.Duration {
	ns := math.Round(x)
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}
