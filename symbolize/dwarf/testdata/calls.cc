// SPDX-License-Identifier: Apache-2.0
//
// Calls that a compiler inlines into each other, several levels deep, in the ways that debug information has for them.

#include <algorithm>
#include <vector>

volatile int sink;

namespace outer {
namespace {

template <class T>
inline __attribute__((always_inline)) T mix(T a, T b)
{
	sink = static_cast<int>(a);
	return a * 31 + b;
}

struct Table {
	std::vector<int> items;

	inline __attribute__((always_inline)) int add(int n)
	{
		items.push_back(mix(n, sink));
		return mix<long>(n, static_cast<long>(items.size()));
	}

	__attribute__((noinline)) int fill(int n)
	{
		auto each = [this](int i) { return add(i) + add(mix(i, 2)); };
		int sum = 0;
		for (int i = 0; i < n; i++)
			sum += each(i);
		return sum;
	}
};

} // namespace

// A function of a class that is local to an inline function has code of its own.
inline int sorted(std::vector<int> &v)
{
	struct Order {
		static __attribute__((noinline)) bool less(int a, int b) { return mix(a, 1) < mix(b, 1); }
	};
	std::sort(v.begin(), v.end(), Order::less);
	return v[0];
}

// A cold part is split off and gets ranges of its own.
__attribute__((noinline)) int split(int n)
{
	if (__builtin_expect(n > 1000, 0)) {
		for (int i = 0; i < n; i++)
			sink = mix(i, n);
		__builtin_trap();
	}
	return mix(n, sink);
}

__attribute__((noinline)) int recurse(int n)
{
	return n <= 0 ? mix(n, 1) : mix(n, recurse(n - 1)) + recurse(n - 2);
}

} // namespace outer

int main(int argc, char **)
{
	outer::Table t;
	t.fill(argc * 10);
	return (outer::sorted(t.items) + outer::split(argc) + outer::recurse(argc)) & 1;
}
