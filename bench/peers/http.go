// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	perSecond    = "requests/s"
	perCPUSecond = "requests/CPU s"
	busyShare    = "CPU %"
	scheduleP99  = "start late µs p99"
	stallError   = "error of waits %"
)

const (
	serverCPU    = "0"
	generatorCPU = "1"
	stallRate    = 200 // requests a second
	stallEvery   = time.Second
	stallFor     = 100 * time.Millisecond
)

var httpBenchmark = benchmark{
	name: "http",
	about: "An nginx with one worker on one CPU is asked for 1 kB by a generator of load on the other, in a closed loop; CPU is that of the whole process. Half " +
		"rate: an open loop at half of what a closed loop of 16 connections reached just before, and how late requests start. Stall: a service that answers " +
		"nothing in the last 100 ms of each second, 200 requests a second; how far p95, p99 and p99.9 are, at most, from what the times of arrival tell. Undisturbed: before all others " +
		"on its CPU (SCHED_FIFO), so that what is late is the generator's own doing.",
	metrics: []string{perSecond, perCPUSecond, busyShare, scheduleP99, stallError},
	arms: func(l *lab) []arm {
		return []arm{
			{"wrk, 16", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.closedWrk(url, 16) })
			}},
			{"assay, 16", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.closedAssay(url, 16) })
			}},
			{"wrk, 64", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.closedWrk(url, 64) })
			}},
			{"assay, 64", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.closedAssay(url, 64) })
			}},
			{"assay, half rate", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.halfRate(url, nil) })
			}},
			{"assay, half rate, undisturbed", func() (values, error) {
				return l.withNginx(func(url string) (values, error) { return l.halfRate(url, undisturbed) })
			}},
			{"assay, stall", l.stalls},
		}
	},
	claims: []claim{
		{metric: perSecond, arm: "assay, 16", over: "wrk, 16", limit: 0.9, least: true},
		{metric: perCPUSecond, arm: "assay, 16", over: "wrk, 16", limit: 0.9, least: true},
		{metric: perSecond, arm: "assay, 64", over: "wrk, 64", limit: 0.9, least: true},
		{metric: perCPUSecond, arm: "assay, 64", over: "wrk, 64", limit: 0.9, least: true},
		{metric: scheduleP99, arm: "assay, half rate"},
		{metric: scheduleP99, arm: "assay, half rate, undisturbed", limit: 100},
		{metric: stallError, arm: "assay, stall", limit: 2},
	},
}

// undisturbed starts a program that no other on its CPU interrupts.
var undisturbed = []string{"chrt", "-f", "1"}

// nginxConfig has nginx answer from the folder in which it runs.
const nginxConfig = `worker_processes 1;
daemon off;
pid pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server { listen %s; root .; }
}
`

// withNginx does what needs an nginx on a CPU of its own.
func (l *lab) withNginx(do func(url string) (values, error)) (_ values, err error) {
	address, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := l.path("nginx")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	// As nobody, as which its worker runs, it has to get there.
	if err := os.Chmod(l.dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return nil, err
	}
	for name, text := range map[string]string{"conf": fmt.Sprintf(nginxConfig, address), "file": strings.Repeat("x", 1024)} {
		if err := os.WriteFile(folder+"/"+name, []byte(text), 0o644); err != nil { //nolint:gosec // nothing in it is secret
			return nil, err
		}
	}
	c, err := launch("taskset", "-c", serverCPU, "nginx", "-p", folder, "-c", folder+"/conf", "-e", "stderr")
	if err != nil {
		return nil, err
	}
	defer func() {
		_, endErr := c.interrupt()
		err = errors.Join(err, endErr)
	}()
	if err := accepting(address); err != nil {
		return nil, err
	}
	return do("http://" + address + "/file")
}

// freePort returns an address at which nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// accepting waits until somebody accepts connections.
func accepting(address string) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Since(began) > 10*time.Second {
			return err
		}
	}
}

// closedWrk has wrk ask for as long as half of the duration.
func (l *lab) closedWrk(url string, connections int) (values, error) {
	c, err := launch("taskset", "-c", generatorCPU, "wrk", "-t", "1", "-c", strconv.Itoa(connections),
		"-d", strconv.Itoa(int(l.duration.Seconds()/2))+"s", url)
	if err != nil {
		return nil, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, err
	}
	requests, elapsed, err := parseWrk(c.out.String())
	return rates(requests, elapsed, used.cpu), err
}

var wrkSaid = regexp.MustCompile(`(?m)^ +(\d+) requests in ([0-9.]+)s,`)

// parseWrk reads how many requests wrk got answered, and in what time.
func parseWrk(said string) (requests float64, elapsed time.Duration, err error) {
	m := wrkSaid.FindStringSubmatch(said)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk told no number of requests: %s", lastLine(said))
	}
	if strings.Contains(said, "Socket errors") || strings.Contains(said, "Non-2xx") {
		return 0, 0, fmt.Errorf("wrk had errors: %s", said)
	}
	if requests, err = strconv.ParseFloat(m[1], 64); err != nil {
		return 0, 0, err
	}
	elapsed, err = time.ParseDuration(m[2] + "s")
	return requests, elapsed, err
}

func rates(requests float64, elapsed, cpu time.Duration) values {
	return values{
		perSecond:    requests / elapsed.Seconds(),
		perCPUSecond: requests / cpu.Seconds(),
		busyShare:    100 * cpu.Seconds() / elapsed.Seconds(),
	}
}

// loaded is what assay's generator says of a run.
type loaded struct {
	ElapsedNS  time.Duration      `json:"elapsed_ns"`
	Operations float64            `json:"operations"`
	Errors     int                `json:"errors"`
	Latency    string             `json:"latency"`
	Values     map[string]float64 `json:"values"`
	Notes      []string           `json:"notes"`
}

// generate has assay's generator make a load, on its CPU, started by the command of starter, if there is one.
func (l *lab) generate(starter []string, d time.Duration, kind string, parameters map[string]string) (*loaded, usage, error) {
	var asked bytes.Buffer
	for _, q := range []map[string]any{{"kind": kind, "values": parameters}, {"run_ns": d.Nanoseconds()}} {
		if err := json.NewEncoder(&asked).Encode(q); err != nil {
			return nil, usage{}, err
		}
	}
	c, err := feed(&asked, "taskset", slices.Concat([]string{"-c", generatorCPU}, starter, []string{l.assay, "work"})...)
	if err != nil {
		return nil, usage{}, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, usage{}, err
	}
	var answer struct {
		Error   string
		Outcome *loaded
	}
	if err := json.Unmarshal([]byte(lastLine(c.out.String())), &answer); err != nil {
		return nil, usage{}, fmt.Errorf("assay work: %w", err)
	}
	if o := answer.Outcome; o == nil || o.Errors > 0 {
		return nil, usage{}, fmt.Errorf("assay work: %s %+v", answer.Error, o)
	}
	return answer.Outcome, used, nil
}

func (l *lab) closedAssay(url string, connections int) (values, error) {
	o, used, err := l.generate(nil, l.duration/2, "load/http", map[string]string{"url": url, "arrivals": "closed", "connections": strconv.Itoa(connections)})
	if err != nil {
		return nil, err
	}
	return rates(o.Operations, o.ElapsedNS, used.cpu), nil
}

func (l *lab) halfRate(url string, starter []string) (values, error) {
	most, _, err := l.generate(starter, l.duration/4, "load/http", map[string]string{"url": url, "arrivals": "closed", "connections": "16"})
	if err != nil {
		return nil, err
	}
	rate := strconv.FormatFloat(most.Operations/most.ElapsedNS.Seconds()/2, 'f', 0, 64)
	o, used, err := l.generate(starter, l.duration/2, "load/http", map[string]string{"url": url, "rate": rate, "connections": "16"})
	if err != nil {
		return nil, err
	}
	v := rates(o.Operations, o.ElapsedNS, used.cpu)
	v[scheduleP99] = o.Values["lateness_p99_ns"] / 1e3
	return v, nil
}

// stalls compares what is told of a service that stalls with what is true.
func (l *lab) stalls() (values, error) {
	d := l.duration.Truncate(stallEvery)
	o, _, err := l.generate(nil, d, "load/service", map[string]string{
		"rate": strconv.Itoa(stallRate), "connections": "32", "stall_every": stallEvery.String(), "stall_for": stallFor.String(),
	})
	if err != nil {
		return nil, err
	}
	told, err := hdrhistogram.Decode([]byte(o.Latency))
	if err != nil {
		return nil, fmt.Errorf("latencies: %w", err)
	}
	truth := hdrhistogram.New(1, told.HighestTrackableValue(), 3)
	for at := time.Duration(0); at < d; at += time.Second / stallRate {
		if err := truth.RecordValue(int64(waitIn(at))); err != nil {
			return nil, err
		}
	}
	return values{stallError: 100 * farthest(told, truth)}, nil
}

// waitIn is how long who comes at a time waits for the end of a stall.
func waitIn(at time.Duration) time.Duration {
	left := stallEvery - at%stallEvery
	if left > stallFor {
		return 0
	}
	return left
}

// farthest is the largest relative difference of the quantiles on which stalls tell. Of stallRate, each arrival in a stall is half a percent
// of all that wait as long: these quantiles are in the middle of theirs, since of one at an edge a single late request of the rest would
// decide whether it is 5 ms more.
func farthest(told, truth *hdrhistogram.Histogram) (most float64) {
	for _, q := range []float64{94.75, 98.75, 99.75} {
		is := float64(truth.ValueAtQuantile(q))
		most = max(most, math.Abs(float64(told.ValueAtQuantile(q))-is)/is)
	}
	return most
}
