// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

func flamePage(t *testing.T, p *profile.Profile) string {
	t.Helper()
	var b strings.Builder
	if err := FlameGraph(&b, p, FlameGraphOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPageGolden compares the page without what make generate puts into it.
func TestPageGolden(t *testing.T) {
	empty := newBuilder("cpu/nanoseconds").p
	for name, p := range map[string]*profile.Profile{"page.html": recording(t), "page-bare.html": bare(t), "page-empty.html": empty} {
		golden(t, name, func(w io.Writer) error {
			short := strings.NewReplacer(script, "SCRIPT", styleSheet, "STYLE", strings.ReplaceAll(scriptHash(script), "+", "&#43;"), "HASH")
			_, err := short.WriteString(w, flamePage(t, p))
			return err
		})
	}
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="profile">(.*?)</script>`)

func embedded(t *testing.T, page string) graphs {
	t.Helper()
	found := dataElement.FindStringSubmatch(page)
	if found == nil {
		t.Fatal("page without data")
	}
	var g graphs
	if err := json.Unmarshal([]byte(found[1]), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// outline writes a graph as indented text: the reader that main.js is, once more.
func outline(g graphs, t graph) string {
	var b strings.Builder
	next := 0
	var node func(depth int)
	node = func(depth int) {
		f, value, callees := t.Nodes[next], t.Nodes[next+1], t.Nodes[next+2]
		next += 3
		name := fmt.Sprintf("(other, %d frames)", -f)
		if f >= 0 {
			name = g.Names[f] + " " + g.Kinds[f:f+1]
		}
		fmt.Fprintf(&b, "%s%s %d\n", strings.Repeat(" ", depth), name, value)
		for range callees {
			node(depth + 1)
		}
	}
	node(0)
	return b.String()
}

func TestGraphOfEachTypeGolden(t *testing.T) {
	g := embedded(t, flamePage(t, recording(t)))
	golden(t, "graphs.txt", func(w io.Writer) error {
		for i, graph := range g.Types {
			fmt.Fprintf(w, "%s/%s, first %t, at least %g%%\n%s\n", graph.Name, graph.Unit, i == g.First, 100*graph.MinShare, outline(g, graph))
		}
		return nil
	})
}

// TestPageIsSafe: neither the bundle nor a name of the profile can end the element that it stands in, and nothing is loaded.
func TestPageIsSafe(t *testing.T) {
	if strings.Contains(script, "</script") || strings.Contains(styleSheet, "</style") {
		t.Error("the bundle ends its own element")
	}
	page := flamePage(t, recording(t))
	if n := strings.Count(page, "</script>"); n != 2 {
		t.Errorf("%d script elements end, want 2", n)
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a name became a script")
	}
	page = strings.ReplaceAll(page, script, "")
	if found := regexp.MustCompile(`(?i)(src|href)\s*=|@import|url\(`).FindString(page); found != "" {
		t.Errorf("the page refers to something by %q", found)
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") {
		t.Error("no policy")
	}
}

func TestSmallFramesAreMerged(t *testing.T) {
	b := newBuilder("cpu/nanoseconds")
	b.add("", 0, []string{"hot", "main"}, 1_000_000)
	b.add("", 0, []string{"tiny", "small", "main"}, 40)
	b.add("", 0, []string{"minute", "main"}, 50)
	b.add("", 0, []string{"visible", "main"}, 100)
	g := newGraphs(b.p, FlameGraphOptions{})
	want := `all 4 1000190
 main 0 1000190
  hot 0 1000000
  visible 0 100
  (other, 3 frames) 90
`
	if diff := cmp.Diff(want, outline(g, g.Types[0])); diff != "" {
		t.Error(diff)
	}
}

func TestTreeIsBounded(t *testing.T) {
	b := newBuilder("cpu/nanoseconds")
	deep := make([]string, 3*maxDepth)
	for i := range deep {
		deep[i] = fmt.Sprint("f", i%7)
	}
	b.add("", 0, deep, 5)
	g := newGraphs(b.p, FlameGraphOptions{})
	if n := len(g.Types[0].Nodes) / 3; n != maxDepth+2 {
		t.Errorf("%d nodes of a deep stack, want all, %d frames and the deeper one", n, maxDepth)
	}
	if last := g.Names[len(g.Names)-1]; last != deeper.name {
		t.Errorf("last frame is %s", last)
	}

	b = newBuilder("cpu/nanoseconds")
	for i := range 2 * maxNodes {
		b.add(fmt.Sprint("comm", i), 0, []string{"main"}, int64(1000+i))
	}
	g = newGraphs(b.p, FlameGraphOptions{MinShare: 1e-12})
	if n := len(g.Types[0].Nodes) / 3; n > maxNodes+2 || n < maxNodes {
		t.Errorf("%d nodes of a wide tree, want %d", n, maxNodes)
	}
}

func TestNegativeValuesAreNotDrawn(t *testing.T) {
	b := newBuilder("cpu/nanoseconds")
	b.add("", 0, []string{"less"}, -10)
	b.add("", 0, []string{"more"}, 10)
	g := newGraphs(b.p, FlameGraphOptions{})
	if diff := cmp.Diff("all 4 10\n more 0 10\n", outline(g, g.Types[0])); diff != "" {
		t.Error(diff)
	}
}
