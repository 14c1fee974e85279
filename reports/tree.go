// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"cmp"
	"slices"

	"github.com/google/pprof/profile"
)

// maxDepth bounds the depth of the trees that a page gets; what is deeper is one frame, deeper.
const maxDepth = 512

var deeper = frame{"(deeper)", other}

// maxNodes bounds the nodes of one tree: browsers get slow beyond.
const maxNodes = 50_000

// A node is a frame under all its callers. Its value includes its callees.
type node struct {
	value   int64
	callees map[frame]*node
}

func (n *node) callee(f frame) *node {
	if n.callees == nil {
		n.callees = map[frame]*node{}
	}
	if n.callees[f] == nil {
		n.callees[f] = &node{}
	}
	return n.callees[f]
}

// newTree joins the stacks of one sample type at their roots. Samples below 0, as a difference of profiles has them, can't be drawn and are left out.
func newTree(p *profile.Profile, index int) *node {
	names := namer{}
	root := &node{}
	for _, s := range p.Sample {
		v := s.Value[index]
		if v <= 0 {
			continue
		}
		n := root
		n.value = addSaturating(n.value, v)
		stack := names.rootFirst(s, isWall(p, index))
		if len(stack) > maxDepth {
			stack = append(stack[:maxDepth], deeper)
		}
		for _, f := range stack {
			n = n.callee(f)
			n.value = addSaturating(n.value, v)
		}
	}
	return root
}

// each calls visit with every node below n.
func (n *node) each(visit func(*node)) {
	for _, c := range n.callees {
		visit(c)
		c.each(visit)
	}
}

// threshold returns the smallest value that a node must have to be drawn: minShare of the whole, and more where that leaves over maxNodes.
func (n *node) threshold(minShare float64) int64 {
	least := int64(minShare * float64(n.value))
	var values []int64
	n.each(func(c *node) { values = append(values, c.value) })
	if len(values) > maxNodes {
		slices.SortFunc(values, func(a, b int64) int { return cmp.Compare(b, a) })
		least = max(least, values[maxNodes]+1)
	}
	return least
}

// A frameTable numbers frames in the order in which they are asked for.
type frameTable struct {
	numbers map[frame]int64
	frames  []frame
}

func (t *frameTable) number(f frame) int64 {
	n, ok := t.numbers[f]
	if !ok {
		n = int64(len(t.frames))
		t.numbers[f] = n
		t.frames = append(t.frames, f)
	}
	return n
}

// flatten appends n, which is the node of f, and all below it: three numbers a node, frame, value and how many callees follow. Callees below least are one
// node together, whose frame is the negative count of the frames in it. The largest comes first, so that the same profile gives the same page.
func (n *node) flatten(out []int64, f frame, least int64, table *frameTable) []int64 {
	kept, merged := n.split(least)
	out = append(out, table.number(f), n.value, int64(len(kept))+min(merged.count, 1))
	for _, f := range kept {
		out = n.callees[f].flatten(out, f, least, table)
	}
	if merged.count > 0 {
		out = append(out, -merged.count, merged.value, 0)
	}
	return out
}

// A merger is what is known of frames that are not drawn one by one.
type merger struct{ count, value int64 }

// split sorts the callees that are drawn and sums up the others.
func (n *node) split(least int64) (kept []frame, merged merger) {
	for f, c := range n.callees {
		if c.value >= least {
			kept = append(kept, f)
			continue
		}
		merged.value = addSaturating(merged.value, c.value)
		merged.count++
		c.each(func(*node) { merged.count++ })
	}
	slices.SortFunc(kept, func(a, b frame) int {
		return cmp.Or(cmp.Compare(n.callees[b].value, n.callees[a].value), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	return kept, merged
}
