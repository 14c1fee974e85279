// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/bpf"
)

func TestLabels(t *testing.T) {
	gs := newGolangs(nil, &bpf.Kernel{})
	gs.keep(bpf.Labels{ID: 1, List: []bpf.Label{{Key: "a", Value: "b"}, {Key: "comm", Value: "c"}, {Key: "", Value: "d"}, {Key: "e", Value: ""}}})
	gs.keep(bpf.Labels{ID: 2, List: []bpf.Label{{Key: "\xffx", Value: "y\xc3"}, {Key: "same", Value: "1"}, {Key: "same", Value: "2"}}, Cut: true})
	gs.keep(bpf.Labels{ID: 2, Cut: true})
	for id, want := range map[uint64]map[string][]string{
		0: {"comm": {"ours"}},
		1: {"comm": {"ours"}, "a": {"b"}, "go.comm": {"c"}, "go.": {"d"}},
		2: {"comm": {"ours"}, "�x": {"y�"}, "same": {"1", "2"}},
		3: {"comm": {"ours"}, "go.labels": {"lost"}},
	} {
		s := &profile.Sample{Label: map[string][]string{"comm": {"ours"}}}
		gs.addTo(s, id)
		if diff := cmp.Diff(want, s.Label); diff != "" {
			t.Errorf("set %d (-want +got):\n%s", id, diff)
		}
	}
	if gs.cut != 1 || gs.lost != 0 {
		t.Errorf("%d sets were cut, %d lost, want 1 and 0", gs.cut, gs.lost)
	}
}
