// SPDX-License-Identifier: Apache-2.0

// The profile that the page was made with, and the trees in it.

// What a frame stands for; the numbers are those of kind in frame.go.
export const Kind = { user: 0, kernel: 1, unnamed: 2, unnamedKernel: 3, thread: 4, other: 5 };

export function readProfile() {
  return JSON.parse(document.getElementById("profile").textContent);
}

// tree makes objects of the flat list of numbers in a graph: frame, value and number of callees, each node before its callees.
export function tree(profile, graph) {
  let next = 0;
  const node = () => {
    const [frame, value, callees] = graph.nodes.slice(next, next + 3);
    next += 3;
    const n =
      frame < 0
        ? { name: `(other, ${formatCount(-frame)} frames)`, kind: Kind.other, value }
        : { name: profile.names[frame], kind: Number(profile.kinds[frame]), value };
    n.children = Array.from({ length: callees }, node);
    n.self = n.children.reduce((rest, c) => rest - c.value, value);
    return n;
  };
  return node();
}

const counts = new Intl.NumberFormat("en-US");

export function formatCount(n) {
  return counts.format(n);
}

export function formatShare(part, whole) {
  const percent = (100 * part) / whole;
  return `${percent.toFixed(percent !== 0 && percent < 0.1 ? 3 : 1)}%`;
}

const times = [
  [60e9, "min"],
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "\u00b5s"],
];

const sizes = ["TiB", "GiB", "MiB", "KiB"].map((unit, i) => [1024 ** (4 - i), unit]);

// formatValue writes a value of a graph: a time or a size with three digits, anything else as it is.
export function formatValue(graph, value) {
  if (graph.scale) return scaled(value * graph.scale, times, "ns");
  if (graph.unit === "bytes") return scaled(value, sizes, "B");
  return graph.unit === "count" ? formatCount(value) : `${formatCount(value)} ${graph.unit}`;
}

function scaled(value, units, smallest) {
  for (const [size, unit] of units) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return `${value} ${smallest}`;
}
