// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

var (
	perOperation = regexp.MustCompile(`(?m)^\s*([0-9.]+) usecs/op`)
	perfSamples  = regexp.MustCompile(`Captured and wrote .* \(~?([0-9]+) samples\)`)
	perfStats    = regexp.MustCompile(`SAMPLE events: +([0-9]+)`)
	firstStamp   = regexp.MustCompile(`([0-9]+)\.([0-9]{9}):`)
)

// parseMicroseconds reads what `perf bench` says of the time of an operation.
func parseMicroseconds(out string) (float64, error) {
	return parseMatch(perOperation, out, "usecs/op of perf bench")
}

// parsePerfSamples reads how many samples `perf record` says that it took.
func parsePerfSamples(out string) (float64, error) {
	return parseMatch(perfSamples, out, "samples of perf record")
}

// parsePerfStats reads how many samples `perf report --stats` finds.
func parsePerfStats(out string) (float64, error) {
	return parseMatch(perfStats, out, "samples of perf report")
}

func parseMatch(r *regexp.Regexp, s, what string) (float64, error) {
	m := r.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s: not in %q", what, lastLine(s))
	}
	return strconv.ParseFloat(m[1], 64)
}

// parseFirstStamp reads the time of the first sample, in nanoseconds, from the output of `perf script --ns -F time`.
func parseFirstStamp(out string) (int64, error) {
	m := firstStamp.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("time of the first sample: not in %q", lastLine(out))
	}
	return strconv.ParseInt(m[1]+m[2], 10, 64)
}

// parseKeys reads lines KEY=NUMBER, as our loads write them.
func parseKeys(out string) (map[string]float64, error) {
	keys := map[string]float64{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: want KEY=NUMBER", line)
		}
		keys[key] = x
	}
	return keys, nil
}

// named counts samples, those whose innermost frame has a name, and those of which every frame has.
type named struct{ samples, leaf, all int64 }

func (n *named) add(count int64, leaf, all bool) {
	n.samples += count
	if leaf {
		n.leaf += count
	}
	if all {
		n.all += count
	}
}

// put adds the shares to v; without samples there are none.
func (n *named) put(v values) {
	v["samples"] = float64(n.samples)
	if n.samples > 0 {
		v["leaf named %"] = 100 * float64(n.leaf) / float64(n.samples)
		v["all frames named %"] = 100 * float64(n.all) / float64(n.samples)
	}
}

// namedInProfile looks at the CPU samples of a command in a profile of assay's. A location has a name if it has a line.
func namedInProfile(p *profile.Profile, comm string) named {
	var n named
	for _, s := range p.Sample {
		if len(s.Label["comm"]) == 0 || s.Label["comm"][0] != comm {
			continue
		}
		all := len(s.Location) > 0
		for _, l := range s.Location {
			all = all && len(l.Line) > 0
		}
		n.add(s.Value[0], len(s.Location) > 0 && len(s.Location[0].Line) > 0, all)
	}
	return n
}

// namedInScript looks at the samples of a command in what `perf script -F comm,ip,sym` writes: for each a line with the command, then one
// a frame, "ADDRESS SYMBOL", and an empty line.
func namedInScript(out, comm string) (named, error) {
	var n named
	var frames, unnamed int
	var here, leaf bool
	flush := func() {
		if here {
			n.add(1, frames > 0 && leaf, frames > 0 && unnamed == 0)
		}
		here, leaf, frames, unnamed = false, false, 0, 0
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		line := lines.Text()
		switch fields := strings.Fields(line); {
		case len(fields) == 0:
			flush()
		case line[0] != '\t' && !strings.HasPrefix(line, "    "):
			flush()
			here = fields[0] == comm
		default:
			known := len(fields) > 1 && fields[1] != "[unknown]"
			leaf = leaf || frames == 0 && known
			if frames++; !known {
				unnamed++
			}
		}
	}
	flush()
	return n, lines.Err()
}

// A summary is what `assay record --json` says, as far as we look at it.
type summary struct {
	StartUnixNS int64  `json:"start_unix_ns"`
	Threads     *int64 `json:"threads"`
	Samples     struct {
		Taken int64 `json:"taken"`
	} `json:"samples"`
	Lost       map[string]int64 `json:"lost"`
	Accounting struct {
		MaxThreadResidualRatio float64 `json:"max_thread_residual_ratio"`
	} `json:"accounting"`
	Cost struct {
		PeakRSSBytes int64 `json:"peak_rss_bytes"`
		MapBytes     int64 `json:"map_bytes"`
	} `json:"cost"`
	More map[string]string `json:"more"`
}

func parseSummary(out string) (*summary, error) {
	s := &summary{}
	if err := json.Unmarshal([]byte(out), s); err != nil {
		return nil, fmt.Errorf("summary of assay: %w", err)
	}
	if s.StartUnixNS == 0 {
		return nil, fmt.Errorf("summary of assay: no start_unix_ns")
	}
	return s, nil
}

// lost sums what was lost, by whatever cause.
func (s *summary) lost() float64 {
	var sum int64
	for _, n := range s.Lost {
		sum += n
	}
	return float64(sum)
}
