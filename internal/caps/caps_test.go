// SPDX-License-Identifier: Apache-2.0

package caps

import "testing"

func TestNames(t *testing.T) {
	for _, c := range []struct {
		cap  Cap
		want string
	}{
		{0, "CAP_CHOWN"},
		{SysPtrace, "CAP_SYS_PTRACE"},
		{SysResource, "CAP_SYS_RESOURCE"},
		{Syslog, "CAP_SYSLOG"},
		{Perfmon, "CAP_PERFMON"},
		{BPF, "CAP_BPF"},
		{CheckpointRestore, "CAP_CHECKPOINT_RESTORE"},
		{41, "CAP_41"},
	} {
		if got := c.cap.String(); got != c.want {
			t.Errorf("capability %d: got %s, want %s", uint(c.cap), got, c.want)
		}
	}
}

func TestSet(t *testing.T) {
	s := Of(BPF, Perfmon, SysAdmin)
	if got, want := s.String(), "CAP_SYS_ADMIN,CAP_PERFMON,CAP_BPF"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.Without(SysAdmin, Syslog); got != Of(BPF, Perfmon) {
		t.Errorf("without: got %s", got)
	}
	if !s.Has(BPF) || s.Has(Syslog) || !s.HasAny(Syslog, Perfmon) || s.HasAny(Syslog) {
		t.Errorf("members of %s", s)
	}
	if got := Of(64, 1000); got != 0 {
		t.Errorf("numbers that no set can hold: got %s", got)
	}
	if got := Set(0).String(); got != "none" {
		t.Errorf("empty set: got %q", got)
	}
}
