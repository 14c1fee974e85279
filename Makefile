# SPDX-License-Identifier: Apache-2.0
# `make` lists the targets. Each installs the Debian packages that it lacks, and says so first.

SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

FUZZTIME ?= 10s
PACKAGES ?= ./...

TOOL := go tool -modfile=tools/go.mod
# What `make generate` writes; everything else in those folders is written by hand.
GENERATED := ':(glob)bpf/*_bpfel.*' ':(glob)profiler/internal/sysno/names_*.go' reports/flamegraph/bundle.js reports/flamegraph/bundle.css reports/flamegraph/LICENSES.txt
# Also files not committed yet; without what others wrote (headers) or programs wrote (bpf2go).
GO_FILES = $(shell git ls-files -co --exclude-standard '*.go' ':!*_bpfel.go')
BPF_FILES = $(shell git ls-files -co --exclude-standard 'bpf/*.c' 'bpf/*.h' ':!bpf/headers')
# Tests record the real kernel, so they run as root; one package at a time, because each would see the others' load.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,-exec 'sudo -E env PATH=$(PATH)')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile the assay command into ./assay
	CGO_ENABLED=0 go build -trimpath -o assay ./cmd/assay

.PHONY: test
test: ## run all tests on the real kernel, as root or through sudo
	@ci/deps.sh build test
	@go run ./ci/verdict -p 1 $(AS_ROOT) $(PACKAGES)

.PHONY: generate
generate: ## rebuild the eBPF objects and the flame graph bundle
	@ci/deps.sh build
	go generate ./bpf ./profiler/internal/sysno
	npm --prefix reports/flamegraph ci --no-audit --no-fund --loglevel=error
	npm --prefix reports/flamegraph run build --loglevel=error

.PHONY: check-generated
check-generated: generate ## rebuild what is generated and fail if it differs from what is committed
	@git --no-pager diff --stat -- $(GENERATED)
	@changed=$$(git status --porcelain -- $(GENERATED)); \
	if [ -n "$$changed" ]; then echo "generated files differ from the committed ones:"; echo "$$changed"; exit 1; fi

.PHONY: fmt
fmt: ## format the Go and the eBPF C code
	@ci/deps.sh build
	@$(TOOL) gofumpt -w $(GO_FILES)
	@clang-format-19 -i $(BPF_FILES)

.PHONY: lint
lint: ## check format and lint; vet for arm64 too
	@ci/deps.sh build
	@unformatted=$$($(TOOL) gofumpt -l $(GO_FILES)); \
	if [ -n "$$unformatted" ]; then echo "not formatted, see make fmt:"; echo "$$unformatted"; exit 1; fi
	clang-format-19 --dry-run -Werror $(BPF_FILES)
	GOARCH=arm64 go vet ./...
	$(TOOL) golangci-lint run ./...

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME (10s)
	@ci/fuzz.sh $(FUZZTIME)

.PHONY: test-kernels
test-kernels: ## boot Debian's 6.1 and 6.12 kernels (amd64, arm64) in qemu and try assay in each
	@ci/deps.sh kernels
	@go run ./ci/kernels

.PHONY: bench-peers
bench-peers: ## measure beside perf and bpftrace, interleaved, as root
	@ci/deps.sh build test
	go run ./bench/peers

.PHONY: bench-stacks
bench-stacks: ## how many stacks are whole, over programs of all kinds, as root
	@ci/deps.sh build test stacks
	go run ./bench/stacks

.PHONY: clean
clean: ## remove what was built and is not committed
	rm -rf assay reports/flamegraph/node_modules
