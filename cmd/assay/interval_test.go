// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/truth"
)

// doubt is the share of right recordings that an interval leaves out. With a second try (see settle) a right recorder fails a comparison once
// in a hundred million.
const doubt = 1e-4

// deviations is how many standard deviations of a normal distribution lie within the interval: Φ⁻¹(1 − doubt/2).
var deviations = math.Sqrt2 * math.Erfinv(1-doubt)

// slew is the most by which CLOCK_MONOTONIC, that programs measure with, runs faster or slower than the scheduler's clock, that Assay
// reads: the kernel corrects it by at most 500 parts in a million (adjtimex(2)).
const slew = 500e-6

// settle makes an attempt of the given length, and if that fails, another of twice the length, which has to pass.
func settle(t *testing.T, seconds float64, attempt func(seconds float64) error) {
	t.Helper()
	err := attempt(seconds)
	if err == nil {
		return
	}
	t.Logf("%g s: %v; trying %g s", seconds, err, 2*seconds)
	if err := attempt(2 * seconds); err != nil {
		t.Error(err)
	}
}

// binomialInterval returns the least and the most hits among n draws of probability p, such that fewer, and more, have a
// probability of at most half the doubt each.
func binomialInterval(n int64, p float64) (least, most int64) {
	if p <= 0 || p >= 1 {
		sure := int64(math.Round(p)) * n
		return sure, sure
	}
	most = n
	for below := binomial(n, least, p); below <= doubt/2; below += binomial(n, least, p) {
		least++
	}
	for above := binomial(n, most, p); above <= doubt/2; above += binomial(n, most, p) {
		most--
	}
	return least, most
}

// binomial is the probability of k hits among n draws of probability p.
func binomial(n, k int64, p float64) float64 {
	lg := func(x int64) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// compareShares wants the samples of each name to be as many as its share of the true times makes likely.
func compareShares(samples map[string]int64, times map[string]time.Duration) error {
	var n int64
	var whole time.Duration
	for name, d := range times {
		n += samples[name]
		whole += d
	}
	if n == 0 || whole == 0 {
		return fmt.Errorf("nothing to compare: samples %v, times %v", samples, times)
	}
	var errs []error
	for name, d := range times {
		least, most := binomialInterval(n, d.Seconds()/whole.Seconds())
		if got := samples[name]; got < least || got > most {
			errs = append(errs, fmt.Errorf("%s has %d of %d samples, want %d to %d: its share of the time is %.2f%%",
				name, got, n, least, most, 100*d.Seconds()/whole.Seconds()))
		}
	}
	return errors.Join(errs...)
}

// compareNumber wants as many samples as a time at a frequency makes likely. Samples at fixed distances scatter less than a Poisson
// distribution, whose standard deviation is taken. (In a virtual machine the clock that samples also runs while the host runs something else,
// and the CPU time of a thread doesn't; that is rare here, and one of the reasons to settle.)
func compareNumber(what string, samples int64, freq int, d time.Duration) error {
	expected := float64(freq) * d.Seconds()
	if margin := deviations * math.Sqrt(expected); float64(samples) < expected-margin || float64(samples) > expected+margin && !stolen() {
		return fmt.Errorf("%s has %d samples, want %.0f ± %.0f: %d Hz in %s", what, samples, expected, margin, freq, d)
	}
	return nil
}

// compareSpans wants each time to lie in its span, but for a number of waits that the recording knows to be missing there.
func compareSpans(got map[string]time.Duration, spans map[string]truth.Span, missing int64) error {
	var errs []error
	for name, span := range spans {
		least := time.Duration(float64(span.Least)*(1-slew)) - time.Duration(missing)*span.Longest
		most := time.Duration(float64(span.Most) * (1 + slew))
		if d := got[name]; d < least || d > most {
			errs = append(errs, fmt.Errorf("%s: %s, want %s to %s, %d waits missing", name, d, least, most, missing))
		}
	}
	return errors.Join(errs...)
}

// percent is how far two accounts of the same time may be apart.
const percent = 0.01

// compareAccounts wants two accounts of one time to agree within a percent of whole, the time that they are a part of.
func compareAccounts(what string, got, want, whole time.Duration) error {
	if off := (got - want).Seconds(); math.Abs(off) > percent*whole.Seconds() && (off < 0 || !stolen()) {
		return fmt.Errorf("%s: %s, want %s ± %s", what, got, want, time.Duration(percent*float64(whole)))
	}
	return nil
}

// TestBinomialInterval compares with the normal approximation where that is good, and with what can be counted on fingers.
func TestBinomialInterval(t *testing.T) {
	for _, c := range []struct {
		n           int64
		p           float64
		least, most int64
	}{
		{10000, 0.5, 5000 - 195, 5000 + 195}, // 3.89 × √2500 = 194.5
		{1000, 0.7, 643, 755},                // 3.89 × √210 = 56.4, a little skewed
		{3, 0.5, 0, 3},
		{10, 0, 0, 0},
		{10, 1, 10, 10},
	} {
		if least, most := binomialInterval(c.n, c.p); least != c.least || most != c.most {
			t.Errorf("%d draws of %g: %d to %d, want %d to %d", c.n, c.p, least, most, c.least, c.most)
		}
	}
}

// TestCompareShares gives the comparison samples that are right, and some that are wrong in one way each.
func TestCompareShares(t *testing.T) {
	times := map[string]time.Duration{"a": 700, "b": 300}
	for _, c := range []struct {
		name    string
		samples map[string]int64
		ok      bool
	}{
		{"right", map[string]int64{"a": 710, "b": 290}, true},
		{"too many", map[string]int64{"a": 760, "b": 240}, false},
		{"one missing", map[string]int64{"a": 1000}, false},
		{"none", nil, false},
	} {
		if err := compareShares(c.samples, times); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// compareProfilers wants two samplings of one run to agree on each share: the difference of two shares of m and n samples has a standard
// deviation of √(p(1−p)(1/m + 1/n)).
func compareProfilers(ours, theirs map[string]int64) error {
	var m, n float64
	for name := range ours {
		m += float64(ours[name])
		n += float64(theirs[name])
	}
	if m == 0 || n == 0 {
		return fmt.Errorf("nothing to compare: ours %v, theirs %v", ours, theirs)
	}
	var errs []error
	for name := range ours {
		a, b := float64(ours[name])/m, float64(theirs[name])/n
		p := float64(ours[name]+theirs[name]) / (m + n)
		if margin := deviations * math.Sqrt(p*(1-p)*(1/m+1/n)); math.Abs(a-b) > margin {
			errs = append(errs, fmt.Errorf("%s has %.4f of %.0f samples, perf has %.4f of %.0f: apart by more than %.4f", name, a, m, b, n, margin))
		}
	}
	return errors.Join(errs...)
}

// stolenAtStart is the time that the host took from this machine before the tests, in clock ticks.
var stolenAtStart = stolenTicks()

// stolen says whether the host has taken CPU time from this machine since the tests began: the clocks that sample and account go on
// meanwhile, and the CPU time that a program is told does not, so that only "too little" can be told then.
func stolen() bool { return stolenTicks() > stolenAtStart+10 }

func stolenTicks() int64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 9 {
		return 0
	}
	ticks, err := strconv.ParseInt(fields[8], 10, 64)
	if err != nil {
		return 0
	}
	return ticks
}
