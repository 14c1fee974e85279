// SPDX-License-Identifier: Apache-2.0
import java.util.ArrayList;
import java.util.List;

/** Tree SECONDS: recursion, boxed sorting and strings. */
public class Tree {
	static long walk(int depth, long x) {
		if (depth == 0) {
			List<Long> numbers = new ArrayList<>();
			for (long n = 0; n < 200; n++)
				numbers.add((n * x) % 101);
			numbers.sort((a, b) -> Long.compare(b, a));
			return numbers.get(20) + numbers.toString().length();
		}
		return walk(depth - 1, x + 1) + walk(depth - 1, x + 2);
	}

	public static void main(String[] args) {
		final long end = System.nanoTime() + 1_000_000_000L * Long.parseLong(args[0]);
		long x = 1;
		while (System.nanoTime() < end)
			x = walk(6, x % 1000) % 100000;
		System.exit(x < 0 ? 1 : 0);
	}
}
