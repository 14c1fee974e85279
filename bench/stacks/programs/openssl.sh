#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# openssl.sh SECONDS: assembly written by hand: ciphers, hashes and long numbers.
openssl speed -seconds 1 -bytes 4096 aes-256-cbc sha256 >/dev/null 2>&1
openssl speed -seconds 1 -evp chacha20-poly1305 -bytes 4096 >/dev/null 2>&1
openssl speed -seconds "$1" rsa2048 ecdsap256 >/dev/null 2>&1
