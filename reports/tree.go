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

// A frameTable numbers frames in the order in which they are asked for.
type frameTable struct {
	numbers map[frame]int32
	frames  []frame
}

func newFrameTable() *frameTable { return &frameTable{numbers: map[frame]int32{}} }

func (t *frameTable) number(f frame) int32 {
	n, ok := t.numbers[f]
	if !ok {
		n = int32(len(t.frames))
		t.numbers[f] = n
		t.frames = append(t.frames, f)
	}
	return n
}

// A stack is that of one sample.
type stack struct {
	frames []int32 // numbers of a frameTable, the root first
	value  int64
	shared int // how many frames it has in common with the stack before it, from the root on
}

// A tree joins the stacks of one sample type at their roots. The stacks are sorted, so that those with the same callers are neighbours: a node is a
// range of stacks and a depth, and the many small nodes that are not drawn take no memory.
type tree struct {
	frames *frameTable
	stacks []stack
	value  int64
	least  int64 // value that a node must have to be drawn
}

// newTree takes the samples of one type. Those below 0, as a difference of profiles has them, can't be drawn and are left out.
func newTree(p *profile.Profile, index int, minShare float64) *tree {
	t := &tree{frames: newFrameTable()}
	names := namer{}
	for _, s := range p.Sample {
		if v := s.Value[index]; v > 0 {
			t.value = addSaturating(t.value, v)
			t.add(names.rootFirst(s, isWall(p, index)), v)
		}
	}
	slices.SortFunc(t.stacks, func(a, b stack) int { return slices.Compare(a.frames, b.frames) })
	for i := 1; i < len(t.stacks); i++ {
		t.stacks[i].shared = commonPrefix(t.stacks[i-1].frames, t.stacks[i].frames)
	}
	t.least = t.threshold(minShare)
	return t
}

func (t *tree) add(frames []frame, value int64) {
	if len(frames) > maxDepth {
		frames = append(frames[:maxDepth], deeper)
	}
	numbers := make([]int32, len(frames))
	for i, f := range frames {
		numbers[i] = t.frames.number(f)
	}
	t.stacks = append(t.stacks, stack{frames: numbers, value: value})
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A node is a frame under all its callers. Its value includes its callees.
type node struct {
	frame  frame
	stacks []stack
	value  int64
}

// callees returns the nodes at a depth of stacks that are the same above it, the largest first.
func (t *tree) callees(stacks []stack, depth int) []node {
	var nodes []node
	first := 0
	for i := range stacks {
		if len(stacks[i].frames) <= depth { // ends above; all such come first
			first = i + 1
			continue
		}
		if i == first || stacks[i].shared <= depth {
			nodes = append(nodes, node{frame: t.frames.frames[stacks[i].frames[depth]]})
			first = i
		}
		n := &nodes[len(nodes)-1]
		n.stacks = stacks[first : i+1]
		n.value = addSaturating(n.value, stacks[i].value)
	}
	slices.SortFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.frame.name, b.frame.name), cmp.Compare(a.frame.kind, b.frame.kind))
	})
	return nodes
}

// count is the number of nodes in n, which is at depth.
func (n *node) count(depth int) int64 {
	count := len(n.stacks[0].frames) - depth
	for _, s := range n.stacks[1:] {
		count += len(s.frames) - s.shared
	}
	return int64(count)
}

// threshold returns the smallest value that a node must have to be drawn: minShare of the whole, and more where that leaves over maxNodes.
func (t *tree) threshold(minShare float64) int64 {
	least := int64(minShare * float64(t.value))
	values := t.values(nil, t.stacks, 0, least)
	if len(values) > maxNodes {
		slices.SortFunc(values, func(a, b int64) int { return cmp.Compare(b, a) })
		least = max(least, values[maxNodes]+1)
	}
	return least
}

// values appends the values of the nodes from a depth on that have at least so much.
func (t *tree) values(out []int64, stacks []stack, depth int, least int64) []int64 {
	for _, n := range t.callees(stacks, depth) {
		if n.value >= least {
			out = t.values(append(out, n.value), n.stacks, depth+1, least)
		}
	}
	return out
}

// flatten writes the tree as numbers for the page, three a node: frame in table, value, and how many callees follow, each with its own. Callees that are
// too small to be drawn are one node together, whose frame is the negative count of the frames in it.
func (t *tree) flatten(table *frameTable) []int64 {
	all := node{frame{"all", thread}, t.stacks, t.value}
	return t.flattenNode(nil, all, 0, table)
}

func (t *tree) flattenNode(out []int64, n node, depth int, table *frameTable) []int64 {
	callees := t.callees(n.stacks, depth)
	drawn := len(callees)
	var merged, mergedValue int64
	for drawn > 0 && callees[drawn-1].value < t.least { // the smallest are at the end
		drawn--
		merged += callees[drawn].count(depth)
		mergedValue = addSaturating(mergedValue, callees[drawn].value)
	}
	out = append(out, int64(table.number(n.frame)), n.value, int64(drawn)+min(merged, 1))
	for _, c := range callees[:drawn] {
		out = t.flattenNode(out, c, depth+1, table)
	}
	if merged > 0 {
		out = append(out, -merged, mergedValue, 0)
	}
	return out
}
