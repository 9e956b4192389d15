# run · test · lint · e2e · bench · crds · image. `make help` lists them with a line each.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# dev (fast to build, used by run, test and e2e) or release (used by image and bench).
PROFILE ?= dev
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE ?= ghcr.io/breakwater/breakwater:$(VERSION)
TRIPLE = $(shell rustc -vV | sed -n 's/^host: //p')
BIN = target/$(TRIPLE)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: setup
setup:
	@tools/setup.sh build

.PHONY: build
build: setup ## both binaries, into target/
	cargo build --profile $(PROFILE) --locked -p breakwater -p breakwater-edge

.PHONY: run
run: build ## an edge with a real origin on this machine, from examples/quickstart, no cluster needed
	@examples/quickstart/run.sh $(BIN)

.PHONY: test
test: setup lint unit charts e2e ## everything: lints, unit tests, chart, real clusters

.PHONY: unit
unit: setup ## tests of every crate
	cargo test --profile $(PROFILE) --locked --workspace

.PHONY: lint
lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --profile $(PROFILE) --locked --workspace --all-targets -- -D warnings

.PHONY: charts
charts: setup ## helm lint, helm template, schemas
	@charts/test.sh

.PHONY: e2e
e2e: setup ## scenarios on real clusters (needs root for containers; says what it skips without)
	@e2e/run.sh $(PROFILE)

.PHONY: kills
kills: setup ## an edge with a cache on disk, killed a hundred times under load; every byte is checked
	BREAKWATER_KILLS=100 cargo test --profile $(PROFILE) --locked -p breakwater --test kill -- --nocapture

.PHONY: bench
bench: bench-render ## breakwater beside other servers (ONLY=, PEERS=, ROUNDS=, SECONDS_EACH=), and bench-render
	@bench/setup.sh
	cargo build --release --locked -p breakwater -p breakwater-bench
	target/$(TRIPLE)/release/breakwater-bench

.PHONY: bench-render
bench-render: setup ## render and index at 10,000 sites: time and memory
	cargo run --release --locked -p breakwater-render --example bench

.PHONY: image
image: PROFILE := release
image: ## an OCI archive for containerd, target/image/breakwater.oci.tar, without an engine
	@$(MAKE) build PROFILE=$(PROFILE)
	@tools/image/build.sh $(IMAGE) $(BIN)

.PHONY: crds
crds: setup ## writes crds/generated, the chart's copy and docs/reference from the types
	cargo run --profile $(PROFILE) --locked -q -p breakwater-crds --bin crds crds/generated docs/reference
	cp crds/generated/*.yaml charts/breakwater/files/crds/

.PHONY: goldens
goldens: setup ## writes the rendered goldens and the command lines' pages anew; review the diff
	UPDATE_GOLDENS=1 cargo test --profile $(PROFILE) --locked -p breakwater-render -p breakwater -p breakwater-edge
