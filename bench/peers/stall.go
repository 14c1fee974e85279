// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	offP99  = "p99 off the truth %"
	offP999 = "p99.9 off the truth %"

	stallRate    = 200 // arrivals a second
	stallSeconds = 5
	stallFor     = 100 * time.Millisecond // at the end of each second
)

var stallBenchmark = benchmark{
	name: "stall",
	about: "A service that answers nothing for the last 100 ms of each second, and 200 arrivals a second at even distances: how long each has to wait at least is known from when it " +
		"arrives, and so are the quantiles.",
	metrics: []string{offP99, offP999},
	arms:    func(l *lab) []arm { return []arm{{"assay", l.stalled}} },
	claims:  []claim{{metric: offP99, arm: "assay", limit: 2}, {metric: offP999, arm: "assay", limit: 2}},
}

func (l *lab) stalled() (values, error) {
	r, err := l.assayLoad("load/service", "", strconv.Itoa(stallSeconds)+"s", "arrivals=constant", "rate="+strconv.Itoa(stallRate), "connections=200",
		"stall_every=1s", "stall_for="+stallFor.String())
	if err != nil {
		return nil, err
	}
	off := func(metric string, quantile float64) float64 {
		want := float64(stallTruth(quantile))
		return 100 * math.Abs(r.Metrics[metric].Value-want) / want
	}
	return values{offP99: off("latency_p99", 0.99), offP999: off("latency_p999", 0.999)}, nil
}

// stallTruth is a quantile, by nearest rank, of how long arrivals wait for the end of a stall.
func stallTruth(quantile float64) time.Duration {
	var waits []time.Duration
	for i := range stallRate * stallSeconds {
		at := time.Duration(i) * time.Second / stallRate
		wait := time.Duration(0)
		if left := time.Second - at%time.Second; left <= stallFor {
			wait = left
		}
		waits = append(waits, wait)
	}
	slices.Sort(waits)
	return waits[int(math.Ceil(quantile*float64(len(waits))))-1]
}
