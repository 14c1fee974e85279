// SPDX-License-Identifier: Apache-2.0

// matcher tells whether a name has the term in it, small and capital letters alike; a term between slashes is a regular expression. A term that isn't
// finished yet, such as "/(", matches nothing.
export function matcher(term) {
  const pattern = /^\/(.+)\/$/.exec(term)?.[1];
  if (pattern === undefined) {
    const lower = term.toLowerCase();
    return (name) => name.toLowerCase().includes(lower);
  }
  try {
    const expression = new RegExp(pattern, "i");
    return (name) => expression.test(name);
  } catch {
    return () => false;
  }
}

// matchedValue sums the values of the found frames, those within another found one not again.
export function matchedValue(found) {
  const nodes = new Set(found);
  const within = (node) => {
    for (let n = node.parent; n; n = n.parent) {
      if (nodes.has(n)) return true;
    }
    return false;
  };
  return found.reduce((sum, n) => (within(n) ? sum : sum + n.data.value), 0);
}
