// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	perCPUSecond = "requests/CPU s"
	requestRate  = "requests/s"
	scheduleP99  = "schedule error p99 µs"

	httpConnections = "16"
	httpSeconds     = "2"
	// openRate is about half of what a core of such a machine can ask for.
	openRate = "20000"
)

var httpBenchmark = benchmark{
	name: "http",
	about: "Requests to an nginx of one worker on CPU 0 that answers from memory, over " + httpConnections + " connections, by a generator on CPU 1. In the open loop " +
		openRate + " arrivals a second are asked for, at even distances; the schedule error is how much later than due a request was begun while a connection was free.",
	metrics: []string{requestRate, perCPUSecond, scheduleP99},
	arms: func(l *lab) []arm {
		return []arm{
			{"wrk", func() (values, error) { return l.besideNginx(wrk) }},
			{"assay", func() (values, error) { return l.besideNginx(l.assayClosed) }},
			{"assay, open loop", func() (values, error) { return l.besideNginx(l.assayOpen) }},
		}
	},
	claims: []claim{
		{metric: requestRate, arm: "assay", over: "wrk", limit: 0.9, least: true},
		{metric: perCPUSecond, arm: "assay", over: "wrk", limit: 0.9, least: true},
		{metric: scheduleP99, arm: "assay, open loop", limit: 100},
	},
}

const nginxConfig = `daemon off; worker_processes 1; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000;
	server { listen %s; location / { default_type text/plain; return 200 "nothing to say\n"; } }
}
`

// besideNginx runs a generator against an nginx of its own.
func (l *lab) besideNginx(generate func(url string) (values, error)) (_ values, err error) {
	folder, err := os.MkdirTemp(l.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, address), 0o600); err != nil {
		return nil, err
	}
	server, err := launch("taskset", "-c", "0", "nginx", "-p", folder, "-c", config)
	if err != nil {
		return nil, err
	}
	// Its quick end, which waits for no connection.
	defer func() { err = errors.Join(err, server.terminate()) }()
	if err := awaitListener(address); err != nil {
		return nil, err
	}
	return generate("http://" + address + "/")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitListener waits until somebody listens.
func awaitListener(address string) error {
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			return c.Close()
		}
	}
	return err
}

var wrkRequests = regexp.MustCompile(`(?m)^ *(\d+) requests in ([\d.]+)s`)

func wrk(url string) (values, error) {
	c, err := launch("taskset", "-c", "1", "wrk", "-t", "1", "-c", httpConnections, "-d", httpSeconds+"s", url)
	if err != nil {
		return nil, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, err
	}
	m := wrkRequests.FindStringSubmatch(c.out.String())
	if m == nil {
		return nil, fmt.Errorf("wrk said %q", lastLine(c.out.String()))
	}
	requests, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseFloat(m[2], 64)
	return values{requestRate: requests / seconds, perCPUSecond: requests / used.cpu.Seconds()}, err
}

// A loadRecord is what is read of a record of assay run.
type loadRecord struct {
	Arm     string `json:"arm"`
	Failed  string `json:"failed"`
	Metrics map[string]struct {
		Value float64 `json:"value"`
	} `json:"metrics"`
}

func (l *lab) assayClosed(url string) (values, error) {
	r, err := l.assayLoad("load/http", "1", httpSeconds+"s", "arrivals=closed", "connections="+httpConnections, "url="+url)
	if err != nil {
		return nil, err
	}
	const nanosecond = 1e-9
	return values{requestRate: r.Metrics["throughput"].Value, perCPUSecond: 1 / (r.Metrics["cpu_per_op"].Value * nanosecond)}, nil
}

func (l *lab) assayOpen(url string) (values, error) {
	r, err := l.assayLoad("load/http", "1", httpSeconds+"s", "arrivals=constant", "rate="+openRate, "connections="+httpConnections, "url="+url)
	if err != nil {
		return nil, err
	}
	return values{requestRate: r.Metrics["throughput"].Value, scheduleP99: r.Metrics["lateness_p99_ns"].Value / 1e3}, nil
}

// assayLoad runs the generator in a trial, on some CPUs or on all, and returns the record of it.
func (l *lab) assayLoad(kind, cpus, duration string, set ...string) (*loadRecord, error) {
	file := filepath.Join(l.dir, "load.jsonl")
	args := []string{
		"run", kind, "--cpus", cpus, "--warmup", "200ms", "--duration", duration, "--max-blocks", "1", "--quiet", "--output", file,
	}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	if _, err := output(l.assay, args...); err != nil {
		return nil, err
	}
	r, err := firstRecord(file)
	return r, errors.Join(err, os.Remove(file))
}

// firstRecord returns the baseline's record in a file of assay run.
func firstRecord(path string) (*loadRecord, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r loadRecord
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		if r.Arm == "baseline" {
			if r.Failed != "" {
				return nil, errors.New(r.Failed)
			}
			return &r, nil
		}
	}
	return nil, errors.Join(lines.Err(), fmt.Errorf("%s has no record of a baseline", path))
}
