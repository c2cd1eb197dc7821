# The one door: build, run, test, measure. `make help` lists what is behind it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo run test test-clients test-kafka fuzz fuzz-short fuzz-keep openapi schema metrics book book-runs lint lint-code lint-dependencies bench league load-test

TOOLS := $(CURDIR)/.tools
# What a build needs: the embedded queue's storage and the Kafka client are C and are built along, TLS to Kafka is the system's OpenSSL.
BUILD := cc c++ pkg-config libssl-headers cargo
SCENARIO := flash_sale
export PATH := $(TOOLS)/bin:$(PATH)

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

run: ## build for release and serve on the embedded queue (data under ./data; ARGS="--set ..")
	@scripts/need $(BUILD)
	cargo build --release --locked
	exec target/release/tidegate serve $(ARGS)

demo: ## a flash sale to look at, on this machine: builds for release and plays it until Ctrl-C (ARGS="--fast")
	@scripts/need $(BUILD)
	cargo build --release --locked
	exec target/release/tidegate demo $(ARGS)

test: test-clients test-kafka ## everything that must hold: format, unit tests, architecture, the programme from outside
	@scripts/need $(BUILD) redis-server redis-cli openssl java curl jq chromium chromedriver
	cargo fmt --check
	cargo test --locked --doc --quiet
	@scripts/need prometheus promtool || echo "alerts and dashboard: NOT TRIED, Prometheus is neither here nor can it be installed"
	command -v prometheus >/dev/null && command -v promtool >/dev/null || export WITHOUT_PROMETHEUS=1; \
	cargo test --locked --no-fail-fast --lib --bins --tests

test-clients: $(TOOLS)/clients/node_modules/.installed $(TOOLS)/clients/python/.installed ## the foreign clients that the tests drive: CloudEvents SDKs, redis-py, confluent-kafka, schemathesis, GitHub's example payloads

test-kafka: $(TOOLS)/kafka/.installed ## the Kafka that tests and measurements start brokers of: its jars, in .tools/kafka

lint: lint-code lint-dependencies ## format, clippy, dependencies (licences, bans, sources, advisories)

lint-code: ## format and clippy, warnings denied
	@scripts/need $(BUILD)
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	scripts/fuzz lock
	cargo clippy --locked --all-targets -- -D warnings

lint-dependencies: $(TOOLS)/bin/cargo-deny ## licences, bans, sources; advisories where their database can be reached
	cargo deny --locked check bans licenses sources
	@if timeout 60 cargo deny --locked fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
	else echo "advisories: NOT CHECKED, their database cannot be reached from here"; fi

fuzz: ## fuzz each target for so long, one after another (SECONDS_EACH=60; TARGET=one of fuzz/targets; needs a nightly toolchain)
	@scripts/need $(BUILD)
	scripts/fuzz run $(or $(SECONDS_EACH),60) $(TARGET)

fuzz-short: ## the same for ten seconds each, as CI does; skipped, and says so, where no nightly toolchain is
	@scripts/need $(BUILD)
	scripts/fuzz short $(or $(SECONDS_EACH),10) $(TARGET)

fuzz-keep: ## add to fuzz/corpus what fuzzing found beyond it
	scripts/fuzz keep $(TARGET)

metrics: ## write docs/METRICS.md anew from the code; otherwise a test compares it
	@scripts/need $(BUILD)
	TIDEGATE_WRITE_METRICS=1 cargo test --locked --test it -- monitoring::listed::the_list_that_is_kept
	@git diff --stat -- docs/METRICS.md

openapi: ## write docs/openapi.json anew from the code; otherwise a test compares it
	@scripts/need $(BUILD)
	TIDEGATE_WRITE_OPENAPI=1 cargo test --locked --test it -- openapi::the_document_that_is_served
	@git diff --stat -- docs/openapi.json

schema: ## write policies/schema.json anew from the code; otherwise a test compares it
	@scripts/need $(BUILD)
	TIDEGATE_WRITE_SCHEMA=1 cargo test --locked --lib -- schema::tests::the_schema_that_is_kept
	@git diff --stat -- policies/schema.json

book: ## docs/ as a book to leaf through, in target/book (needs mdbook: cargo install mdbook)
	@command -v mdbook >/dev/null || { echo "mdbook is not installed: cargo install mdbook, or read docs/SUMMARY.md" >&2; exit 1; }
	mdbook build
	@echo "written: target/book/index.html"

book-runs: ## run the commands of the book and write down what they say now; otherwise a test compares it
	@scripts/need $(BUILD) curl jq openssl redis-server
	TIDEGATE_WRITE_BOOK=1 cargo test --locked --test it -- docs::commands
	@git diff --stat -- docs

bench: test-kafka ## micro benchmarks, then requests/s beside a bare axum server, over TLS and HTTP/2, with and without spans, before Redis beside redis-benchmark, before Kafka beside a raw producer, and what a job costs on each (ROUNDS=5 SECONDS_EACH=3)
	@scripts/need $(BUILD) wrk h2load curl openssl redis-server redis-cli redis-benchmark java
	cargo bench --locked --bench "*"
	load-tests/bench/run.sh
	load-tests/bench/tls.sh
	load-tests/bench/traces.sh
	load-tests/bench/redis.sh
	load-tests/bench/kafka.sh
	load-tests/bench/cost.sh

league: ## every law in every scenario: docs/control/league.md and the pictures of docs/CONTROL.md
	@scripts/need $(BUILD)
	cargo build --release --locked
	load-tests/league.sh

load-test: $(if $(filter webhooks,$(SCENARIO)),test-clients) ## a k6 scenario against a gateway of its own: a flash sale (80 s), or SCENARIO=webhooks (30 s)
	@scripts/need $(BUILD) curl
	@command -v k6 >/dev/null || $(MAKE) --no-print-directory $(TOOLS)/bin/k6
	cargo build --release --locked
	load-tests/run.sh $(SCENARIO)

$(TOOLS)/bin/cargo-deny:
	@scripts/need $(BUILD)
	cargo install cargo-deny --version 0.20.2 --locked --root $(TOOLS)

$(TOOLS)/bin/cargo-fuzz:
	@scripts/need $(BUILD)
	cargo install cargo-fuzz --version 0.13.1 --locked --root $(TOOLS)

$(TOOLS)/bin/k6:
	@scripts/need go
	GOBIN=$(TOOLS)/bin go install go.k6.io/k6@v1.8.1

$(TOOLS)/kafka/.installed: scripts/kafka
	@scripts/need java mvn
	scripts/kafka fetch
	@touch $@

# What the tests use of others, each pinned here; never part of the repository.
NODE_CLIENTS := cloudevents@10.0.0 @octokit/webhooks-examples@7.6.1
PYTHON_CLIENTS := cloudevents==2.2.0 confluent-kafka==2.16.1 redis==8.1.0 schemathesis==4.32.5

$(TOOLS)/clients/node_modules/.installed: Makefile
	@scripts/need node npm
	npm install --silent --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --prefix $(TOOLS)/clients $(NODE_CLIENTS)
	@touch $@

$(TOOLS)/clients/python/.installed: Makefile
	@scripts/need python3
	python3 -m venv $(TOOLS)/clients/python
	$(TOOLS)/clients/python/bin/pip install --quiet --disable-pip-version-check $(PYTHON_CLIENTS)
	@touch $@
