// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/assaylab/assay/internal/lazyregexp"
	"github.com/assaylab/assay/scenarios/internal/cpulist"
)

// Bounds of what a scenario says.
const (
	maxName     = 64
	maxAbout    = 500
	maxParam    = 4096
	maxWarmup   = time.Hour
	minDuration = time.Millisecond
	maxDuration = 24 * time.Hour
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
	{cpuLimitField, true, setCPULimit},
	{memLimitField, true, setMemoryLimit},
}

const namePattern = `^[a-z0-9-]+$`

var nameForm = lazyregexp.New(namePattern)

func setName(s *Scenario, text string) error {
	if len(text) > maxName || !nameForm().MatchString(text) {
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
	cpus, err := cpulist.Parse(text)
	if err == nil {
		s.Isolation.CPUs = cpus
	}
	return err
}

const cpuLimitPattern = `^([1-9][0-9]{0,5}%)?$`

var cpuLimitForm = lazyregexp.New(cpuLimitPattern)

func setCPULimit(s *Scenario, text string) error {
	if !cpuLimitForm().MatchString(text) {
		return fmt.Errorf("%s is no share of one CPU; want one such as 50%% or 150%%", excerpt(text))
	}
	s.Isolation.CPULimit = text
	return nil
}

// minMemory is what a worker needs for itself.
const minMemory = 32 << 20

func setMemoryLimit(s *Scenario, text string) error {
	n, err := parseSize(text)
	if err != nil || n < minMemory {
		return fmt.Errorf("%s: want a size of at least 32M, such as 512M", excerpt(text))
	}
	s.Isolation.MemoryLimit = n
	return nil
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
