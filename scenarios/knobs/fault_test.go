// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// wantLine wants an error of one line with a text.
func wantLine(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want one line with %q", what, err, want)
	}
}

// inMounts runs f on a thread that may mount what it likes, in a network namespace of its own.
func inMounts(t *testing.T, f func() error) {
	t.Helper()
	err := thread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return f()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadOnly has /proc/sys as containers have it.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	inMounts(t, func() error {
		if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
		k := mustParse(t, somaxconn+"=128")
		wantLine(t, "check", k.check(machine), somaxconn+": it is on a read-only file system (as in a container): set it on the host")
		j, err := OpenJournal(path)
		if err != nil {
			return err
		}
		wantLine(t, "set", j.Set(k, "128"), "read-only file system")
		return j.Close()
	})
}

// TestFull has no space left for the journal: nothing is changed then, and what was changed before can be put back.
func TestFull(t *testing.T) {
	folder := t.TempDir()
	inMounts(t, func() error {
		if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=4096"); err != nil {
			return err
		}
		path := filepath.Join(folder, "journal")
		j, err := OpenJournal(path)
		if err != nil {
			return err
		}
		k := mustParse(t, somaxconn+"=128")
		original, err := k.Read()
		if err != nil {
			return err
		}
		if err := j.Set(k, "128"); err != nil {
			return err
		}
		for err == nil { // until not even a short line fits
			err = j.append(entry{"sysctl", "net.core.somaxconn", original})
		}
		if !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("the disk is full: %w", err)
		}
		other := mustParse(t, "sysctl:net.ipv4.tcp_fin_timeout=7")
		before, err := other.Read()
		if err != nil {
			return err
		}
		wantLine(t, "set without space", j.Set(other, "7"), "journal "+path+": no space left on device: sysctl:net.ipv4.tcp_fin_timeout was not changed")
		wantRead(t, other, before)
		wantRead(t, k, "128")
		if err := j.Close(); err != nil {
			return err
		}
		wantRead(t, k, original)
		return nil
	})
}

// writeJournal writes lines with their checksums.
func writeJournal(t *testing.T, path string, objects ...any) {
	t.Helper()
	var text []byte
	for _, o := range objects {
		line, err := encodeLine(o)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, line...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustHeader is a header of this boot and the thread's namespaces.
func mustHeader(t *testing.T) header {
	t.Helper()
	h, err := newHeader()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestHostile refuses journals that have anything in them which we don't write, and changes nothing by them.
func TestHostile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	inSpace(t, func() error {
		k := mustParse(t, somaxconn+"=128")
		original, err := k.Read()
		if err != nil {
			return err
		}
		h := mustHeader(t)
		good := entry{"sysctl", "net.core.somaxconn", original}
		if err := k.set(machine, "128"); err != nil {
			return err
		}
		for what, bad := range map[string]entry{
			"traversal":         {"sysctl", "net/../../etc/passwd", "x"},
			"absolute":          {"sysctl", "/etc/passwd", "x"},
			"another spelling":  {"sysctl", "net/core/somaxconn", "1"},
			"a program":         {"sysctl", "kernel.core_pattern", "|/tmp/evil"},
			"no such kind":      {"file", "/etc/passwd", "x"},
			"of a workload":     {"env", "LD_PRELOAD", "x"},
			"device traversal":  {"rps", "../../x", "0"},
			"no mask":           {"rps", "lo", "x"},
			"a folder":          {"cgroup", "cpu.max", "/etc"},
			"relative folder":   {"cgroup", "cpu.max", "assay-1"},
			"folder traversal":  {"cgroup", "cpu.max", "/sys/fs/cgroup/../../../tmp/assay-1"},
			"lines":             {"sysctl", "net.core.somaxconn", "1\n2"},
			"a long value":      {"sysctl", "net.core.somaxconn", strings.Repeat("1", 5000)},
			"no qdisc":          {"qdisc", "lo", "a b"},
			"file of the group": {"cgroup", "../x", "/sys/fs/cgroup/assay-1"},
		} {
			writeJournal(t, path, h, bad)
			_, err := Restore(path)
			wantLine(t, what, err, "journal "+path+": line 2 is damaged")
		}
		wantRead(t, k, "128")

		writeJournal(t, path, h, entry{"env", "A", "B"}, good)
		changes, err := Restore(path)
		if want := "journal " + path + ": line 2 is damaged: env:A is not for a journal; what can be read was put back: set the rest by hand, then remove the file"; err == nil || err.Error() != want {
			t.Errorf("a good line after a bad one: %v; want %s", err, want)
		}
		if want := []Change{{Knob: somaxconn, From: "128", To: original}}; !reflect.DeepEqual(changes, want) {
			t.Errorf("%v, want %v", changes, want)
		}
		wantRead(t, k, original)
		return nil
	})
}

// TestHeaders refuses what is of another version or place, and clears what a restart has put back.
func TestHeaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	inSpace(t, func() error {
		h := mustHeader(t)
		k := mustParse(t, somaxconn+"=128")
		before, err := k.Read()
		if err != nil {
			return err
		}
		e := entry{"sysctl", "net.core.somaxconn", "77"}
		for _, c := range []struct {
			what  string
			other header
			wrong string
		}{
			{"a version to come", header{journalVersion + 1, h.Boot, h.Net, h.Others, 1}, "of version 2, and this assay knows up to 1"},
			{"no version", header{0, h.Boot, h.Net, h.Others, 1}, "line 1 is damaged: no version"},
			{"other namespaces", header{journalVersion, h.Boot, h.Net, "ipc:[1]", 1}, "it is of a run in other namespaces (ipc:[1]; here: ipc:["},
		} {
			writeJournal(t, path, c.other, e)
			_, err := Restore(path)
			wantLine(t, c.what, err, c.wrong)
			if _, err := OpenJournal(path); !errors.Is(err, ErrLeft) {
				t.Errorf("%s: open: %v", c.what, err)
			}
		}
		writeJournal(t, path, header{journalVersion, "another boot", h.Net, h.Others, 1}, e)
		text, err := RestoreLeft(path)
		if want := "sysctl:net.core.somaxconn: the machine was restarted since, which put it back"; err != nil || !strings.Contains(text, want) {
			t.Errorf("after a restart: %q, %v; want %q", text, err, want)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the journal after a restart: %v", err)
		}
		wantRead(t, k, before)
		return nil
	})
}

// TestElsewhere restores from outside of the namespace that a run was in: in there, by way of a process or of a name.
func TestElsewhere(t *testing.T) {
	const name = "assay-test-knobs"
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() }) //nolint:errcheck // it may be gone
	for way, start := range map[string]func() (path string, err error){
		"a process": func() (string, error) {
			holder := exec.Command("sleep", "60")
			err := holder.Start()
			t.Cleanup(func() {
				holder.Process.Kill() //nolint:errcheck // it may have ended
				holder.Wait()         //nolint:errcheck // it was killed
			})
			return fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid), err
		},
		"a name": func() (string, error) {
			return filepath.Join(netSpaces, name), exec.Command("ip", "netns", "attach", name, strconv.Itoa(unix.Gettid())).Run()
		},
		"nothing": func() (string, error) { return "", nil },
	} {
		journal := filepath.Join(t.TempDir(), "journal")
		listen, rps := mustParse(t, somaxconn+"=128"), mustParse(t, "rps:lo=0")
		var original, path string
		inSpace(t, func() (err error) {
			if original, err = listen.Read(); err != nil {
				return err
			}
			writeJournal(t, journal, mustHeader(t), entry{listen.Kind, listen.Name, original}, entry{rps.Kind, rps.Name, none})
			if err := errors.Join(listen.set(space, "128"), rps.set(space, "0")); err != nil {
				return err
			}
			path, err = start()
			return err
		})
		changes, err := Restore(journal)
		if err != nil || len(changes) != 2 {
			t.Errorf("%s: %v, %v", way, changes, err)
		}
		if path == "" {
			if !strings.Contains(changes[0].Note, "it is gone") || !strings.Contains(changes[1].Note, "it is gone") {
				t.Errorf("%s: %v", way, changes)
			}
			continue
		}
		var got []string
		err = thread.Do(func() error {
			if err := enter(path); err != nil {
				return err
			}
			one, err := listen.kind.read(space, listen.Name)
			two, errTwo := rps.kind.read(space, rps.Name)
			got = []string{one, two}
			return errors.Join(err, errTwo)
		})
		if want := []string{original, none}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", way, got, err, want)
		}
	}
}

// TestCutShort leaves a journal at each length that a killed write could: the change of a line that isn't whole was not made yet.
func TestCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	inSpace(t, func() error {
		writeJournal(t, path, mustHeader(t), entry{"sysctl", "net.core.somaxconn", "77"}, entry{"sysctl", "net.ipv4.tcp_fin_timeout", "33"})
		whole, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n := range whole {
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				return err
			}
			changes, err := Restore(path)
			if lines := strings.Count(string(whole[:n]), "\n"); err != nil || len(changes) != max(lines-1, 0) {
				t.Errorf("%d bytes of %d: %v, %v", n, len(whole), changes, err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%d bytes: the journal is still there: %v", n, err)
			}
		}
		return nil
	})
}

// TestForeignFile refuses files that others could have written.
func TestForeignFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "journal")
	const wrong = "not a file of our own that nobody else can write"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := OpenJournal(path)
	wantLine(t, "writable by all", err, wrong)
	if err := errors.Join(os.Chmod(path, 0o600), os.Chown(path, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(path)
	wantLine(t, "of another", err, wrong)
	link := filepath.Join(folder, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err = OpenJournal(link)
	wantLine(t, "a link", err, "too many levels of symbolic links")
	_, err = OpenJournal(filepath.Join(path, "journal"))
	wantLine(t, "no folder", err, "not a directory")
}

// TestNotRoot says what an ordinary user lacks.
func TestNotRoot(t *testing.T) {
	for knob, want := range map[string]string{
		"sysctl:vm.swappiness=10": "it takes root to set it: use sudo",
		"thp:enabled=never":       "it takes root to set it: use sudo",
		"cgroup:cpu.max=50%":      "use sudo",
	} {
		err := thread.Do(func() error {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 { // of this thread alone
				return errno
			}
			k := mustParse(t, knob)
			return k.check(machine)
		})
		wantLine(t, knob, err, want)
	}
}

// FuzzJournal never panics; what it takes is what we could have written.
func FuzzJournal(f *testing.F) {
	for _, objects := range [][]any{
		{header{journalVersion, "b", "n", "o", 1}, entry{"sysctl", "net.core.somaxconn", "1"}, entry{"cgroup", "cpu.max", "/x/assay-1"}},
		{header{2, "b", "n", "o", 1}},
		{entry{"env", "A", "B"}},
	} {
		var text []byte
		for _, o := range objects {
			line, err := encodeLine(o)
			if err != nil {
				f.Fatal(err)
			}
			text = append(text, line...)
		}
		f.Add(text)
		f.Add(text[:len(text)-1])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, entries, _ := decodeJournal(text) //nolint:errcheck // entries come with an error too
		if len(entries) > maxEntries {
			t.Errorf("%d entries", len(entries))
		}
		for _, e := range entries {
			if _, err := e.knob(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
		}
	})
}
