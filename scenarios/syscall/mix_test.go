// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseMix(t *testing.T) {
	tests := []struct {
		text string
		want string // the shares, or part of the error after "error: "
	}{
		{"getpid=70,read=20,open=10", "getpid 70, read 20, open 10"},
		{"spawn=1", "spawn 1"},
		{" write = 3 , futex=1000000", "write 3, futex 1000000"},
		{"", "error: it's empty"},
		{" ", "error: it's empty"},
		{"getpid", `error: "getpid": want a call and its weight`},
		{"getpid=1,", `error: "": want a call and its weight`},
		{"getpid=1,,read=1", `error: "": want a call and its weight`},
		{"=1", `error: "=1": call "": want one of getpid, read`},
		{"fork=1", `error: "fork=1": call "fork": want one of getpid, read`},
		{"GETPID=1", `error: "GETPID=1": call "GETPID": want one of`},
		{"getpid=", `error: "getpid=": want a weight, a whole number from 1`},
		{"getpid=0", `error: "getpid=0": want a weight`},
		{"getpid=-1", `error: "getpid=-1": want a weight`},
		{"getpid=1.5", `error: "getpid=1.5": want a weight`},
		{"getpid=1=2", `error: "getpid=1=2": want a weight`},
		{"getpid=1000001", `error: "getpid=1000001": want a weight, a whole number from 1 to 1000000`},
		{"getpid=99999999999999999999", `want a weight`},
		{"getpid=1;read=2", `want a weight`},
		{"getpid=1,read=1,getpid=2", `error: "getpid=2": getpid is there already`},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			shares, err := parseMix(test.text)
			parts := make([]string, len(shares))
			for i, s := range shares {
				parts[i] = fmt.Sprintf("%s %d", s.call.name, s.weight)
			}
			got := strings.Join(parts, ", ")
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// draws returns how often each share was drawn, and the first draws.
func draws(t *testing.T, text string, seed, thread uint64, n int) (counts []int, first []int) {
	t.Helper()
	shares, err := parseMix(text)
	if err != nil {
		t.Fatal(err)
	}
	m := &mixture{shares: shares, random: rand.New(rand.NewPCG(seed, thread))}
	counts = make([]int, len(shares))
	for _, s := range shares {
		m.total += s.weight
	}
	for range n {
		i := m.draw()
		counts[i]++
		if len(first) < 100 {
			first = append(first, i)
		}
	}
	return counts, first
}

// TestDrawsInProportion allows five standard deviations of the binomial distribution, which one seed in 1.7 million would exceed.
func TestDrawsInProportion(t *testing.T) {
	const n = 200_000
	tests := []struct {
		mix     string
		weights []float64
	}{
		{"getpid=70,read=20,open=10", []float64{0.7, 0.2, 0.1}},
		{"spawn=1,getpid=999", []float64{0.001, 0.999}},
		{"mmap=1,pipe=1,epoll=1,write=1,futex=1", []float64{0.2, 0.2, 0.2, 0.2, 0.2}},
		{"read=12345", []float64{1}},
	}
	for _, test := range tests {
		counts, _ := draws(t, test.mix, 1, 0, n)
		for i, p := range test.weights {
			if off, bound := math.Abs(float64(counts[i])-n*p), 5*math.Sqrt(n*p*(1-p)); off > bound {
				t.Errorf("%s: share %d drawn %d times, want %v ± %.0f", test.mix, i, counts[i], n*p, bound)
			}
		}
	}
}

func TestDrawsAreSeeded(t *testing.T) {
	const mix = "getpid=1,read=1"
	first := func(seed, thread uint64) []int {
		_, draws := draws(t, mix, seed, thread, 100)
		return draws
	}
	if !slices.Equal(first(1, 0), first(1, 0)) {
		t.Error("the same seed draws otherwise the second time")
	}
	if slices.Equal(first(1, 0), first(2, 0)) || slices.Equal(first(1, 0), first(1, 1)) {
		t.Error("another seed, or thread, draws the same")
	}
}

func TestMix(t *testing.T) {
	tests := []struct {
		mix   string
		timed bool
	}{
		{mix: "getpid=70,read=20,open=10"},
		{mix: "getpid=1,pipe=1,spawn=1"},
		{mix: "pipe=5,futex=5,socketpair=1", timed: true},
	}
	for _, test := range tests {
		t.Run(test.mix, func(t *testing.T) {
			w := prepared(t, "syscall/mix", map[string]string{"mix": test.mix, "threads": "2"})
			for range 2 {
				o, err := w.Run(t.Context(), 50*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				checkOutcome(t, o, test.timed)
				sum := 0.0
				for _, s := range w.(*mix).shares {
					sum += o.Values[s.call.name+"_count"]
				}
				if sum != float64(o.Operations) {
					t.Errorf("the calls' counts are %v together, of %d operations: %v", sum, o.Operations, o.Values)
				}
			}
		})
	}
}
