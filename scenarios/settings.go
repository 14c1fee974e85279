// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of what a scenario says.
const (
	maxName     = 64
	maxAbout    = 500
	maxParam    = 4096
	maxWarmup   = time.Hour
	minDuration = time.Millisecond
	maxDuration = 24 * time.Hour
	maxCPU      = 1023 // the last that sched_setaffinity takes in a set of the usual size
)

// A setting is what a scenario has as one text, beside its kind and its parameters.
type setting struct {
	name    string
	changes bool // by Override
	set     func(s *Scenario, text string) error
}

var settings = []setting{
	{"name", false, setName},
	{"about", false, setAbout},
	{"warmup", true, func(s *Scenario, text string) error { return setDuration(&s.Warmup, text, 0, maxWarmup) }},
	{"duration", true, func(s *Scenario, text string) error { return setDuration(&s.Duration, text, minDuration, maxDuration) }},
	{"primary", true, setPrimary},
	{cpusField, true, setCPUs},
}

const namePattern = `^[a-z0-9-]+$`

var nameForm = regexp.MustCompile(namePattern)

func setName(s *Scenario, text string) error {
	if len(text) > maxName || !nameForm.MatchString(text) {
		return fmt.Errorf("name %s: want 1 to %d of a-z, 0-9 and -", excerpt(text), maxName)
	}
	s.Name = text
	return nil
}

func setAbout(s *Scenario, text string) error {
	text = strings.Join(strings.Fields(text), " ")
	if err := checkText(text, maxAbout); err != nil {
		return fmt.Errorf("about: %w", err)
	}
	s.About = text
	return nil
}

func setDuration(d *time.Duration, text string, least, most time.Duration) error {
	got, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%s is no duration; want one such as 500ms or 5s", excerpt(text))
	}
	if got < least || got > most {
		return fmt.Errorf("%s: want %s to %s", excerpt(text), least, most)
	}
	*d = got
	return nil
}

func setPrimary(s *Scenario, text string) error {
	_, err := metricType(text)
	if err == nil {
		s.Primary = text
	}
	return err
}

// setCPUs reads the kernel's list format, "0-3,7"; "" means any CPU.
func setCPUs(s *Scenario, text string) error {
	var set []int
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, errLast := strconv.ParseUint(last, 10, 16)
		if err != nil || errLast != nil || a > b || b > maxCPU {
			return fmt.Errorf("%s is no list of CPUs; want one such as 0-3,7, with CPUs up to %d", excerpt(text), maxCPU)
		}
		for cpu := a; cpu <= b; cpu++ {
			set = append(set, int(cpu))
		}
		if len(set) > 2*maxCPU { // the same ones again and again
			return fmt.Errorf("%s names CPUs many times; want each once", excerpt(text))
		}
	}
	slices.Sort(set)
	s.Isolation.CPUs = slices.Compact(set)
	return nil
}

// list writes CPUs as setCPUs reads them.
func (i Isolation) list() string {
	var parts []string
	for at := 0; at < len(i.CPUs); {
		first, last := i.CPUs[at], i.CPUs[at]
		for at++; at < len(i.CPUs) && i.CPUs[at] == last+1; at++ {
			last++
		}
		part := strconv.Itoa(first)
		if last > first {
			part += "-" + strconv.Itoa(last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// checkText wants text that can be shown: printable, or spaces.
func checkText(text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%d bytes are too many; want at most %d", len(text), most)
	}
	strange := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }
	if i := strings.IndexFunc(text, strange); i >= 0 {
		return fmt.Errorf("%s can't be shown; want printable text", excerpt(text[i:]))
	}
	return nil
}

// excerpt quotes what was given, for an error: on one line, and not longer than one.
func excerpt(text string) string {
	const most = 60
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
