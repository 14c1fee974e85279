#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# redis.sh SECONDS: a redis-server in this folder, loaded by redis-benchmark over a socket.
set -eu
socket=$PWD/redis.socket
redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --daemonize no >/dev/null &
server=$!
trap 'kill $server; wait $server || true' EXIT
until redis-cli -s "$socket" ping >/dev/null 2>&1; do sleep 0.05; done
timeout "$1" redis-benchmark -s "$socket" -q -c 10 -n 100000000 -t set,get,lpush,zadd >/dev/null || [ $? = 124 ]
