// SPDX-License-Identifier: Apache-2.0
// throw SECONDS: throws through twenty frames with something to clean up, catches, and begins anew.
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

static volatile unsigned long sink;

struct Cleaned {
	std::string text;
	explicit Cleaned(int n) : text(40 + n, 'x')
	{
	}
	~Cleaned()
	{
		for (int i = 0; i < 200; i++)
			sink = sink * 31 + text.size();
	}
};

[[gnu::noinline]] static unsigned long descend(int depth)
{
	Cleaned cleaned(depth);
	std::vector<int> numbers(depth + 1, depth);
	if (depth == 0)
		throw std::runtime_error(cleaned.text);
	return descend(depth - 1) + numbers[depth / 2] + cleaned.text.size();
}

int main(int argc, char **argv)
{
	const auto end = std::chrono::steady_clock::now() +
			 std::chrono::seconds(argc > 1 ? atoi(argv[1]) : 1);
	while (std::chrono::steady_clock::now() < end)
		try {
			sink = sink + descend(20);
		} catch (const std::exception &e) {
			sink = sink + e.what()[0];
		}
	return 0;
}
