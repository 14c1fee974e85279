// SPDX-License-Identifier: Apache-2.0
/* thrown SECONDS: throws from the innermost of descend<0> to descend<20>, which main calls, and catches in main. Each of these has something to
 * clean up, so that who throws goes on in each of them. */
#include <chrono>
#include <cstdlib>

static volatile unsigned long sink;

struct Cleaned {
	~Cleaned()
	{
		sink = sink + 1;
	}
};

template <int left> [[gnu::noinline]] unsigned long descend()
{
	Cleaned cleaned;
	if constexpr (left == 0)
		throw 1;
	else
		return descend<left - 1>() + 1;
}

int main(int argc, char **argv)
{
	const auto end = std::chrono::steady_clock::now() +
			 std::chrono::duration<double>(argc > 1 ? atof(argv[1]) : 1);
	while (std::chrono::steady_clock::now() < end)
		try {
			sink = descend<20>();
		} catch (int) {
			sink = sink + 1;
		}
	return 0;
}
