// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// otherEnv holds, for a copy of this test program that has been given other
// capabilities, the PID of a process of another user. The copy tries what
// Observe tries, prints an account and ends.
const otherEnv = "ASSAY_TEST_OTHER_PID"

func TestMain(m *testing.M) {
	if os.Getenv(otherEnv) == "" {
		os.Exit(m.Run())
	}
	if err := giveAccount(os.Stdout, os.Getenv(otherEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// account is what a child with changed capabilities tells.
type account struct {
	Capabilities caps.Set // as the kernel tells them
	Dumpable     int
	Predicted    Abilities
	Observed     Abilities
	Report       *Report
}

func giveAccount(w io.Writer, otherPID string) error {
	other, err := strconv.Atoi(otherPID)
	if err != nil {
		return err
	}
	own := exec.Command("sleep", "60")
	if err := own.Start(); err != nil {
		return err
	}
	a, err := takeAccount(own.Process.Pid, other)
	if err := errors.Join(err, own.Process.Kill()); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(a)
}

func takeAccount(own, other int) (a account, err error) {
	h, err := thisHost()
	if err != nil {
		return a, err
	}
	if a.Capabilities, err = caps.Effective(); err != nil {
		return a, err
	}
	if a.Dumpable, err = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return a, err
	}
	a.Predicted = Predict(a.Capabilities, h.env())
	a.Observed = Observe(own, other)
	a.Report, err = Run(context.Background(), Options{})
	return a, err
}

// users who own nothing else.
const (
	userRecorder = 65534
	userOther    = 65533
)

// lab is a folder that every user can reach, with a copy of this test program
// and a process of another user whose program only that user may read.
type lab struct {
	program string
	other   int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "doctor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := &lab{program: filepath.Join(dir, "recorder")}
	copyFile(t, "/proc/self/exe", l.program, 0o755)
	private := filepath.Join(dir, "private")
	copyFile(t, "/bin/sleep", private, 0o700)
	if err := os.Chown(private, userOther, userOther); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command(private, "300")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userOther, Gid: userOther}}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sleeper.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := sleeper.Wait(); err == nil {
			t.Error("the other user's process ended by itself")
		}
	})
	l.other = sleeper.Process.Pid
	return l
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}

// run starts the copy through the words of a command line and reads its
// account.
func (l *lab) run(t *testing.T, through ...string) account {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line := append(through, l.program)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", otherEnv, l.other))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(line, " "), err, stderr.String())
	}
	var a account
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return a
}

// check holds an account to the capabilities that it was to be about, and what
// was foretold to what happened.
func (a account) check(t *testing.T, want caps.Set) {
	t.Helper()
	if a.Capabilities != want {
		t.Fatalf("the child has %s, want %s", a.Capabilities, want)
	}
	if diff := cmp.Diff(a.Predicted, a.Observed); diff != "" {
		t.Errorf("foretold (-) is not what happened (+):\n%s", diff)
	}
	if got, want := a.Report.OK(), a.Observed.CPU; got != want {
		t.Errorf("report says that cpu mode works: %t, and it is %t", got, want)
	}
	if got, want := a.Report.CanRecord[ModeOffCPU], a.Observed.OffCPU; got != want {
		t.Errorf("report says that offcpu mode works: %t, and it is %t", got, want)
	}
}

// setprivName is the name of a capability for setpriv(1).
func setprivName(c caps.Cap) string {
	return strings.ToLower(strings.TrimPrefix(c.String(), "CAP_"))
}

// relevant are the capabilities that are dropped and granted one by one.
func relevant() []caps.Cap {
	list := []caps.Cap{caps.DACOverride}
	for _, p := range powers {
		list = append(list, p.cap)
	}
	return list
}

func TestRootWithoutOneCapability(t *testing.T) {
	full, err := caps.Bounding()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	l.run(t).check(t, full)
	for _, c := range relevant() {
		t.Run(c.String(), func(t *testing.T) {
			drop := "-" + setprivName(c)
			l.run(t, "setpriv", "--bounding-set", drop, "--inh-caps", drop).check(t, full.Without(c))
		})
	}
	t.Run("both ways to read files", func(t *testing.T) {
		const drop = "-dac_override,-dac_read_search"
		a := l.run(t, "setpriv", "--bounding-set", drop, "--inh-caps", drop)
		a.check(t, full.Without(caps.DACOverride, caps.DACReadSearch))
		if a.Observed.OtherFiles {
			t.Error("a file that only its owner may read was open to root without the capability")
		}
	})
}

// ordinary runs the copy as an ordinary user with ambient capabilities.
func (l *lab) ordinary(t *testing.T, set caps.Set) account {
	t.Helper()
	line := []string{"setpriv", "--reuid", fmt.Sprint(userRecorder), "--regid", fmt.Sprint(userRecorder), "--clear-groups"}
	if set != 0 {
		var names []string
		for _, c := range set.Caps() {
			names = append(names, "+"+setprivName(c))
		}
		list := strings.Join(names, ",")
		line = append(line, "--inh-caps", list, "--ambient-caps", list)
	}
	return l.run(t, line...)
}

func TestOrdinaryUserWithAmbientCapabilities(t *testing.T) {
	bounding, err := caps.Bounding()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	core := caps.Of(caps.BPF, caps.Perfmon)
	sets := []caps.Set{0, caps.Of(caps.BPF), caps.Of(caps.Perfmon), core, caps.Of(asked...)}
	for _, c := range relevant() {
		if bounding.Has(c) && !core.Has(c) {
			sets = append(sets, core|caps.Of(c))
		}
	}
	for _, set := range sets {
		t.Run(set.String(), func(t *testing.T) {
			a := l.ordinary(t, set)
			a.check(t, set)
			if want := set&core == core || set.Has(caps.SysAdmin); a.Observed.CPU != want || a.Observed.OffCPU != want {
				t.Errorf("the core works: %+v, want %t", a.Observed, want)
			}
		})
	}
}

// A program that gains capabilities from its file is not dumpable: parts of
// /proc/self are closed to it, and all has to work without them.
func TestFileCapabilities(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		name string
		text string
		want caps.Set
	}{
		{"core", "cap_bpf,cap_perfmon=ep", caps.Of(caps.BPF, caps.Perfmon)},
		{"all that is asked for", fileCapabilities(), caps.Of(asked...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := exec.Command("setcap", c.text, l.program).CombinedOutput(); err != nil {
				t.Fatalf("setcap: %v: %s", err, out)
			}
			// The shell between has lost root's capabilities. Started by setpriv
			// itself, which has them until then, nothing would be gained.
			a := l.run(t, "setpriv", "--reuid", fmt.Sprint(userRecorder), "--regid", fmt.Sprint(userRecorder), "--clear-groups",
				"sh", "-c", `exec "$0"`)
			a.check(t, c.want)
			if a.Dumpable != 0 {
				t.Fatalf("dumpable is %d, so this tests nothing", a.Dumpable)
			}
			if !a.Report.OK() || !a.Report.CanRecord[ModeWall] {
				t.Errorf("can record %v", a.Report.CanRecord)
			}
			for _, check := range a.Report.Checks {
				if strings.Contains(check.Found, "/proc/self/mem") {
					t.Errorf("%s rests on a closed file: %s", check.Name, check.Found)
				}
			}
		})
	}
}

// In a user namespace of its own a process has all capabilities and none that
// count.
func TestUserNamespace(t *testing.T) {
	a := newLab(t).run(t, "unshare", "--user", "--map-root-user")
	if !a.Capabilities.Has(caps.BPF) {
		t.Fatalf("the child has %s, so this tests nothing", a.Capabilities)
	}
	if diff := cmp.Diff(a.Predicted, a.Observed); diff != "" {
		t.Errorf("foretold (-) is not what happened (+):\n%s", diff)
	}
	if a.Report.OK() || a.Observed.CPU {
		t.Error("recording works in a user namespace")
	}
}
