// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

// FlameGraphOptions say what FlameGraph shows.
type FlameGraphOptions struct {
	// Title is the heading; made from what the profile says of itself if empty.
	Title string
	// MinShare is the share of a sample type's total below which frames are merged into one; 0.01% if 0.
	MinShare float64
}

const defaultMinShare = 0.0001

var (
	//go:embed flamegraph/page.html
	pageSource string
	//go:embed flamegraph/bundle.js
	script string
	//go:embed flamegraph/bundle.css
	styleSheet string

	page = template.Must(template.New("page").Parse(pageSource))
)

// FlameGraph writes one HTML page that holds all it needs: a graph for each sample type that has values, with search and zoom, and what is known of the
// recording. The page's own policy keeps the browser from loading anything and from running any script but the bundle, whatever names the
// profile has. An error comes from w.
func FlameGraph(w io.Writer, p *profile.Profile, opts FlameGraphOptions) error {
	data, err := json.Marshal(newGraphs(p, opts)) // escapes <, > and &: it can't end the script element
	if err != nil {
		return fmt.Errorf("flame graph: %w", err)
	}
	d := newDigest(newRecord(p, ""))
	if opts.Title == "" {
		opts.Title = d.title
	}
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Title":  printable(opts.Title),
		"Above":  pageSections(d, true),
		"Below":  pageSections(d, false),
		"Data":   template.JS(data),
		"Script": template.JS(script),
		"Style":  template.CSS(styleSheet),
		"Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src '" + scriptHash(script) + "'",
	})
	if err != nil {
		return fmt.Errorf("flame graph: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// scriptHash names a script as a Content-Security-Policy does.
func scriptHash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// graphs is the data of the page; main.js reads it.
type graphs struct {
	Names []string `json:"names"`
	Kinds string   `json:"kinds"` // a digit for the frame with the same index, see kind
	Types []graph  `json:"types"`
	First int      `json:"first"` // index of the type to begin with
}

// graph is the tree of one sample type.
type graph struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Scale    float64 `json:"scale"` // nanoseconds in a unit of time, otherwise 0
	Total    int64   `json:"total"`
	MinShare float64 `json:"minShare"` // of the total that a frame needs to be drawn
	Nodes    []int64 `json:"nodes"`    // see flatten
}

// newGraphs makes a tree for each sample type that has values.
func newGraphs(p *profile.Profile, opts FlameGraphOptions) graphs {
	minShare := opts.MinShare
	if minShare == 0 {
		minShare = defaultMinShare
	}
	first, err := sampleIndex(p, "")
	if err != nil {
		first = -1 // no types, no graphs
	}
	table := newFrameTable()
	g := graphs{Types: []graph{}}
	for i, t := range p.SampleType {
		tree := newTree(p, i, minShare)
		if tree.value == 0 {
			continue
		}
		if i == first {
			g.First = len(g.Types)
		}
		g.Types = append(g.Types, graph{
			Name: printable(t.Type), Unit: printable(t.Unit), Scale: nanosecondsIn[t.Unit],
			Total: tree.value, MinShare: float64(tree.least) / float64(tree.value), Nodes: tree.flatten(table),
		})
	}
	kinds := make([]byte, len(table.frames))
	for i, f := range table.frames {
		g.Names = append(g.Names, f.name)
		kinds[i] = '0' + byte(f.kind)
	}
	g.Kinds = string(kinds)
	return g
}

// A pageSection is a section of the digest as the template sees it.
type pageSection struct {
	Heading string
	Warns   bool
	Lines   []pageLine
}

type pageLine struct{ Label, Text string }

// pageSections returns the sections that stand above the graph, or those below it.
func pageSections(d digest, essential bool) []pageSection {
	var sections []pageSection
	for _, s := range d.sections {
		if s.essential != essential {
			continue
		}
		section := pageSection{Heading: s.heading, Warns: s.warns}
		for _, l := range s.lines {
			section.Lines = append(section.Lines, pageLine{l.label, strings.Join(l.pieces, ", ")})
		}
		sections = append(sections, section)
	}
	return sections
}
