// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// helperEnv makes the test binary a run that sets knobs through the journal at its value, again and again, until it is killed.
const helperEnv = "ASSAY_TEST_KNOBS_JOURNAL"

func TestMain(m *testing.M) {
	if path := os.Getenv(helperEnv); path != "" {
		fmt.Fprintln(os.Stderr, setForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killKnobs are set by the runs that are killed, in a network namespace. The last two change with each other.
var killKnobs = []string{
	"sysctl:net.core.somaxconn=128,256,512", "sysctl:net.ipv4.tcp_rmem=4096 65536 1048576,4096 4096 8192",
	"sysctl:net.ipv4.tcp_congestion_control=reno,bbr", "sysctl:net.ipv4.ip_local_reserved_ports=7,8-9", "qdisc:lo=pfifo,pfifo_fast",
	"sysctl:net.ipv4.neigh.lo.unres_qlen=10,20",
}

func parseAll(texts []string) (all []*Knob, err error) {
	for _, text := range texts {
		k, err := Parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// setForEver is a run: it restores what another left, as each command does, and then sets and puts back.
func setForEver(path string) error {
	all, err := parseAll(killKnobs)
	if err != nil {
		return err
	}
	fmt.Println("started")
	if _, err := RestoreLeft(path); err != nil {
		return err
	}
	for round := 0; ; round++ {
		j, err := OpenJournal(path)
		if err != nil {
			return err
		}
		for range 2 {
			for _, k := range all {
				if err := j.Set(k, k.Values[round%len(k.Values)]); err != nil {
					return err
				}
			}
		}
		if err := j.Close(); err != nil {
			return err
		}
	}
}

// TestKill kills 200 runs at any point, half of which begin with what the last one left, and none of them leaves a knob changed for good.
func TestKill(t *testing.T) {
	const kills = 200
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "journal")
	inSpace(t, func() error {
		all, err := parseAll(append([]string{"sysctl:net.ipv4.neigh.lo.unres_qlen_bytes=1"}, killKnobs...))
		if err != nil {
			return err
		}
		originals, err := readAll(all)
		if err != nil {
			return err
		}
		left := 0
		for range kills {
			if err := killRun(path, time.Duration(rng.IntN(8000))*time.Microsecond); err != nil {
				return err
			}
			now, err := readAll(all)
			if err != nil {
				return err
			}
			changed := !slices.Equal(now, originals)
			if changed {
				left++
				if _, err := OpenJournal(path); !errors.Is(err, ErrLeft) {
					t.Errorf("a run could take %q for originals: %v", now, err)
				}
			}
			if rng.IntN(2) == 0 {
				continue // the next run restores, or is killed while it does
			}
			if _, err := Restore(path); err != nil {
				return err
			}
			if now, err = readAll(all); err != nil {
				return err
			}
			if !slices.Equal(now, originals) {
				return fmt.Errorf("restored %q, want %q", now, originals)
			}
		}
		t.Logf("%d of %d runs left something changed", left, kills)
		if left < kills/10 || left == kills {
			t.Errorf("%d of %d runs left something changed: this tries nothing", left, kills)
		}
		return nil
	})
}

func readAll(all []*Knob) ([]string, error) {
	var values []string
	for _, k := range all {
		value, err := k.Read()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// killRun starts a run in the namespace of the thread, and kills it some time after it began.
func killRun(path string, after time.Duration) error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return err
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	text, err := io.ReadAll(said)
	if err != nil {
		return err
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		return fmt.Errorf("the run ended by itself: %w: %s", err, text)
	}
	return nil
}
