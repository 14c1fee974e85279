#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that a purpose needs and this machine lacks: ci/deps.sh [build|test|stacks|kernels]…
# Silent when all is there. Says what it installs before it does; works as root or through sudo.
set -euo pipefail

# Packages by purpose; "command=package" asks for the command, which many have from elsewhere than Debian.
declare -A needs=(
	# eBPF objects (llvm-strip for bpf2go, the kernel's and libbpf's headers), the format of the C code, the flame graph bundle.
	[build]="clang-19 llvm-19 clang-format-19 libbpf-dev linux-libc-dev git make npm=npm"
	# Programs with known truth; namespaces, capabilities and a terminal to run them in; the peers that we are compared with; servers to load;
	# makers of debug files and a server of them.
	[test]="strace gcc g++ clang-19 libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross musl-tools binutils llvm-19 rustc=rustc util-linux iproute2 libcap2-bin procps jq tmux linux-perf bpftrace bpftool tcpreplay
		nginx-light redis-server postgresql wrk dwz elfutils debuginfod xz-utils python3 node=nodejs javac=openjdk-17-jdk-headless"
	# Programs whose stacks are hard to walk.
	[stacks]="gdb openssl sqlite3"
	# Other kernels, booted in qemu.
	[kernels]="qemu-system-x86 qemu-system-arm debian-archive-keyring gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
)

# missing NEED… prints the packages to install.
missing() {
	local need packages=()
	for need in "$@"; do
		case $need in
		*=*) command -v "${need%%=*}" >/dev/null || echo "${need##*=}" ;;
		*) packages+=("$need") ;;
		esac
	done
	# dpkg-query complains about, and leaves out, what it never heard of.
	comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

# as_root COMMAND… runs it as root.
as_root() {
	local sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo)
	"${sudo[@]}" "$@"
}

# apt ARGS… runs apt-get as root, without questions.
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null; }

[ $# -gt 0 ] || set -- "${!needs[@]}"
wanted=()
for purpose in "$@"; do
	[ -n "${needs[$purpose]+known}" ] || { echo "ci/deps.sh: no such purpose: $purpose" >&2; exit 2; }
	read -ra list <<<"${needs[$purpose]//$'\n'/ }" # all of its lines
	wanted+=("${list[@]}")
done

mapfile -t packages < <(missing "${wanted[@]}")
[ ${#packages[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || { echo "ci/deps.sh: not a Debian machine; please install: ${packages[*]}" >&2; exit 1; }
echo "Installing the Debian packages that this machine lacks: ${packages[*]}" >&2
# Servers are wanted, not services: for as long as this takes, none that is installed starts (policy-rc.d(8) from Debian's invoke-rc.d).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'as_root rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin $policy
fi
# Package lists that are missing or out of date are found out by trying.
apt install --no-install-recommends "${packages[@]}" 2>/dev/null || {
	apt update
	apt install --no-install-recommends "${packages[@]}"
}
