// SPDX-License-Identifier: Apache-2.0
// tree.js SECONDS: recursion, callbacks and JSON.
function walk(depth, x) {
	if (depth === 0) {
		const numbers = Array.from({ length: 200 }, (_, n) => (n * x) % 101);
		return numbers.sort((a, b) => a - b).slice(0, 20).reduce((a, b) => a + b, 0);
	}
	return walk(depth - 1, x + 1) + walk(depth - 1, x + 2);
}

const end = Date.now() + 1000 * Number(process.argv[2]);
let x = 1;
while (Date.now() < end) x = (JSON.stringify({ value: walk(6, x % 1000) }).length + x) % 100000;
