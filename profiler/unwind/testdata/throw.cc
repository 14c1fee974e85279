// SPDX-License-Identifier: Apache-2.0
// Exceptions: functions with landing pads, cold parts and destructors.

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

struct Guard {
	std::string name;
	~Guard() { std::printf("%s\n", name.c_str()); }
};

static std::map<std::string, std::vector<int>> known;

[[gnu::noinline]] static int look(const std::string &key, int depth)
{
	Guard guard{key + std::to_string(depth)};
	if (depth == 0)
		return known.at(key).size();
	try {
		return look(key, depth - 1) + 1;
	} catch (const std::out_of_range &) {
		if (depth > 3)
			throw std::runtime_error(key);
		throw;
	}
}

int main(int argc, char **argv)
{
	known["one"] = {1, 2, 3};
	try {
		return look(argc > 1 ? argv[1] : "none", 5) > 100;
	} catch (const std::exception &e) {
		std::printf("%s\n", e.what());
	}
	return 0;
}
