// SPDX-License-Identifier: Apache-2.0
// mangle SECONDS: computes in a method of a class template and in a function template. Says cpu_ns of each.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace truth {

static volatile unsigned long sink;

template <class T, int Step> class Wheel {
public:
	__attribute__((noinline)) void spin(T turns) const
	{
		for (T i = 0; i < turns; i++)
			sink = sink * 6364136223846793005UL + Step;
	}
};

template <class T> __attribute__((noinline)) void roll(const T &turns)
{
	for (T i = 0; i < turns; i++)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}

} // namespace truth

static long long cpu_ns()
{
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	using clock = std::chrono::steady_clock;
	const truth::Wheel<long, 7> wheel{};
	const auto end = clock::now() + std::chrono::duration<double>(argc > 1 ? std::atof(argv[1]) : 0);
	long long spin = 0, roll = 0;

	std::srand(clock::now().time_since_epoch().count());
	while (clock::now() < end) {
		const long turns = 500000 + std::rand() % 1000000;
		const long long before = cpu_ns();
		wheel.spin(turns);
		const long long between = cpu_ns();
		truth::roll(turns);
		spin += between - before;
		roll += cpu_ns() - between;
	}
	std::printf("cpu_ns.truth::Wheel::spin=%lld\ncpu_ns.truth::roll=%lld\n", spin, roll);
}
