// SPDX-License-Identifier: Apache-2.0
// coroutine SECONDS: walks trees by coroutines of C++20 that resume each other.
#include <chrono>
#include <coroutine>
#include <cstdlib>
#include <exception>
#include <utility>

static volatile unsigned long sink;

class Walk
{
      public:
	struct promise_type {
		unsigned long value = 0;
		Walk get_return_object()
		{
			return Walk(std::coroutine_handle<promise_type>::from_promise(*this));
		}
		std::suspend_always initial_suspend()
		{
			return {};
		}
		std::suspend_always final_suspend() noexcept
		{
			return {};
		}
		std::suspend_always yield_value(unsigned long v)
		{
			value = v;
			return {};
		}
		void return_void()
		{
		}
		void unhandled_exception()
		{
			std::terminate();
		}
	};
	explicit Walk(std::coroutine_handle<promise_type> h) : handle(h)
	{
	}
	Walk(Walk &&other) noexcept : handle(std::exchange(other.handle, {}))
	{
	}
	~Walk()
	{
		if (handle)
			handle.destroy();
	}
	bool next()
	{
		handle.resume();
		return !handle.done();
	}
	unsigned long value() const
	{
		return handle.promise().value;
	}

      private:
	std::coroutine_handle<promise_type> handle;
};

static Walk walk(int depth, unsigned long x)
{
	for (int i = 0; i < 100; i++)
		x = x * 6364136223846793005UL + 1442695040888963407UL;
	if (depth > 0)
		for (unsigned long side = 0; side < 2; side++)
			for (Walk below = walk(depth - 1, x + side); below.next();)
				co_yield below.value();
	co_yield x;
}

int main(int argc, char **argv)
{
	const auto end = std::chrono::steady_clock::now() +
			 std::chrono::seconds(argc > 1 ? atoi(argv[1]) : 1);
	while (std::chrono::steady_clock::now() < end)
		for (Walk all = walk(10, sink); all.next();)
			sink = sink + all.value();
	return 0;
}
