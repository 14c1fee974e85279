// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"strings"
	"testing"
)

func TestParams(t *testing.T) {
	const storm, mix = "syscall/storm", "syscall/mix"
	tests := []struct {
		kind, given string // name=value; …
		want        string // part of the error; "" for none
	}{
		{storm, "", ""},
		{mix, "", ""},
		{storm, "call=read; size=16M", ""},
		{storm, "call=getpid; size=1G", ""}, // that it doesn't use
		{storm, "threads=64", ""},
		{storm, "call=fork", "getpid, read"},
		{storm, "call=", "getpid, read"},
		{storm, "threads=0", "1 to 64"},
		{storm, "threads=65", "1 to 64"},
		{storm, "threads=two", "whole number"},
		{storm, "size=0", "1 to"},
		{storm, "size=2G", "1 to"},
		{storm, "call=read; size=17M", "16M for call read"},
		{storm, "call=open; size=17M", "16M for call open"},
		{storm, "call=mmap; size=9M", "8M for call mmap"},
		{storm, "call=socketpair; size=2M", "1M for call socketpair"},
		{storm, "mix=read=1", "none of that name"},
		{mix, "call=read", "none of that name"},
		{mix, "mix=read=1,socketpair=1; size=2M", "1M for call socketpair"},
		{mix, "mix=read", "parameter mix"},
		{mix, "seed=-1", "0 to"},
	}
	for _, test := range tests {
		t.Run(test.kind+" "+test.given, func(t *testing.T) {
			given := map[string]string{}
			for setting := range strings.SplitSeq(test.given, "; ") {
				if name, value, ok := strings.Cut(setting, "="); ok {
					given[name] = value
				}
			}
			_, err := newWorkload(test.kind, given)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
