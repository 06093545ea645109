# attestation_exporter: `make help` lists what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.tools/bin:$(PATH)
export CGO_ENABLED ?= 0

NAME := attestation_exporter

# Where the real parts stand up by script, for `make conformance`.
LAB_DIR ?= $(abspath ../shared/lab)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static binary
	go run ./internal/release build

.PHONY: tools
tools: ## Install what the tests need, and name it
	@.ci/tools swtpm swtpm_setup tpm2 dbus-daemon openssl prometheus promtool alertmanager amtool gotestsum

# The end-to-end test mostly waits, and the engine computes: side by side they take the longer one's time.
.PHONY: test
test: lint check-generated check-rules test-race check-metrics ## Everything that CI runs
	@$(MAKE) -j 2 --output-sync=target test-e2e test-rules-engine

.PHONY: test-race
test-race: tools ## Unit tests with the race detector, fuzz seeds included
	@.ci/tools gcc
	CGO_ENABLED=1 gotestsum --format pkgname-and-test-fails -- -race -timeout 10m $$(go list ./... | grep -v /internal/tower$$)

.PHONY: test-e2e
test-e2e: tools build ## The miniature Tower end to end: faults in, notifications out
	gotestsum --format testname -- -count=1 -timeout 15m ./internal/tower

.PHONY: lint
lint: ## golangci-lint, formatting, go.mod, words that must not stand here
	@.ci/tools golangci-lint
	golangci-lint run ./...
	go mod tidy -diff
	cd rules/engine && golangci-lint run --config ../../.golangci.yml ./... && go mod tidy -diff
	@! git grep -nI 'Insecure''SkipVerify' -- . || { echo 'lint: verification can not be switched off anywhere' >&2; exit 1; }

.PHONY: vulncheck
vulncheck: ## govulncheck, whose database comes from the network: no part of make test
	@.ci/tools govulncheck
	govulncheck ./...

.PHONY: check-rules
check-rules: ## promtool and amtool on rules, their tests and the Alertmanager example
	@.ci/tools promtool amtool
	promtool check rules rules/*.rules.yml
	ls -S rules/*.test.yml | xargs -n 1 -P $$(nproc) promtool test rules
	amtool check-config alertmanager/alertmanager.yml

.PHONY: test-rules-engine
test-rules-engine: ## The rules in Prometheus' own engine: a quiet fortnight, and every fault
	cd rules/engine && nice go test -count=1 -timeout 30m ./...

.PHONY: soak-year
soak-year: ## A quiet year, and 150 rounds of faults; hours
	cd rules/engine && go test -count=1 -timeout 24h -v -run 'TestQuietTime|TestTroubledTime' . -days 365 -rounds 150

.PHONY: detection
detection: ## Make the table of detection times in docs/alerts.md anew
	cd rules/engine && go test -count=1 -timeout 30m -run TestTroubledTime . -update

.PHONY: bench-rules
bench-rules: ## One evaluation of all rules at 10 to 10,000 hosts, and a verifier's fall under 10,000 agents
	cd rules/engine && GOMEMLIMIT=6GiB go test -v -run TestVerifierFallsUnderAFleet -bench Evaluation -benchtime 2x -timeout 2h . -agents 10000

.PHONY: mutate-rules
mutate-rules: tools ## Break the rules, and see what promtool's cases don't notice; twenty minutes
	cd rules/engine && nice go run ./mutate -rules ..

.PHONY: check-rules-elsewhere
check-rules-elsewhere: ## The rules by Thanos' and VictoriaMetrics' own checkers, which are built
	.ci/check-rules-elsewhere

.PHONY: check-metrics
check-metrics: tools build ## promtool check metrics on the whole exposition of the demo's host
	@mkdir -p .build
	go run ./internal/demo metrics > .build/metrics.txt
	promtool check metrics < .build/metrics.txt

.PHONY: dashboards
dashboards: ## Write dashboards/*.json anew from their source
	go test ./dashboards -run TestJSON -update

.PHONY: check-dashboards
check-dashboards: tools ## Dashboards: current, every expression is answered, every link leads somewhere; `make test` does it, too
	go test -count=1 ./dashboards

.PHONY: check-dashboards-schema
check-dashboards-schema: ## Dashboards against Grafana's published types; needs node and npm's registry
	@mkdir -p .build/dashboards
	cd .build/dashboards && npm install --silent --no-fund --no-audit --prefix . @grafana/schema@13.2.3 typescript@5.9
	node .ci/dashboards-schema.mjs .build/dashboards/check.ts
	cd .build/dashboards && npx tsc --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022 check.ts

# The demo's Prometheus, or one of `make fleet`.
PROMETHEUS ?= http://127.0.0.1:9090

.PHONY: dashboards-preview
dashboards-preview: ## Draw the dashboards into .build/dashboards with the data of PROMETHEUS (the running demo); needs LAB_DIR and node
	.ci/draw-dashboards $(LAB_DIR)/dashboard-preview $(PROMETHEUS) .build/dashboards

.PHONY: fleet
fleet: tools ## A made-up fleet with a day of its past in a Prometheus, to draw dashboards from; BROKEN='quote=40m kernel=2h'
	go run ./internal/fleet/show $(BROKEN)

.PHONY: bench
bench: tools build ## Benchmarks, and a scrape beside node_exporter's and the floor's
	@.ci/tools node_exporter
	go build -trimpath -ldflags '-s -w' -o .build/floor ./internal/demo/floor
	go test -run '^$$' -bench . -benchmem ./...
	go run ./internal/demo bench

.PHONY: generate
generate: ## Make the Go code of the .proto files anew, and the rules for the Prometheus Operator
	@.ci/tools protoc protoc-gen-go protoc-gen-go-grpc
	spire/proto/generate
	go run ./internal/release operator

.PHONY: check-generated
check-generated: ## The Go code of the .proto files is what they say
	@.ci/tools protoc protoc-gen-go protoc-gen-go-grpc
	@rm -rf .build/proto && mkdir -p .build/proto
	spire/proto/generate $(CURDIR)/.build/proto
	diff -r -x '*.proto' -x generate .build/proto spire/proto

.PHONY: fuzz
fuzz: ## Fuzz every parser, for FUZZTIME (30) seconds of CPU each
	.ci/fuzz $${FUZZTIME:-30}

.PHONY: soak
soak: tools ## 10,000 scrapes of a host on which everything misbehaves (a quarter of an hour)
	SOAK_ROUNDS=400 go test -count=1 -v -timeout 60m -run '^TestEverythingMisbehaves$$' .

.PHONY: demo
demo: tools build ## A miniature Tower on loopback: exporter, Prometheus, Alertmanager; Ctrl-C ends it
	go run ./internal/demo up

.PHONY: demo-break
demo-break: ## Break something in the running demo: FAULT=pcr7; without FAULT it lists them
	@go run ./internal/demo break $(FAULT)

.PHONY: demo-mend
demo-mend: ## Undo a fault: FAULT=pcr7, or all of them
	@go run ./internal/demo mend $(FAULT)

.PHONY: demo-stop
demo-stop: ## Stop a demo that runs in another terminal
	@go run ./internal/demo stop

.PHONY: conformance
conformance: tools build ## The same tests against the real parts in LAB_DIR
	LAB_DIR=$(LAB_DIR) .ci/conformance

.PHONY: packages
packages: ## deb, rpm, tarball, SBOM and checksums for every platform, into .build/release
	@.ci/tools nfpm cyclonedx-gomod
	go run ./internal/release artefacts .build/release

.PHONY: check-packages
check-packages: packages ## Install, upgrade, remove and purge them in clean Debian roots; builds twice for one hash; root
	@.ci/tools mmdebstrap qemu-aarch64-static qemu-x86_64-static
	rm -rf .build/clone && git clone --quiet . .build/clone
	cd .build/clone && go run ./internal/release artefacts .build/release
	diff .build/clone/.build/release/sha256sums.txt .build/release/sha256sums.txt
	go run ./internal/release -version 0.0.1 artefacts .build/previous
	.ci/check-packages .build/release .build/previous

.PHONY: release
release: ## A dated CHANGELOG, a committed tree, all tests, then all artefacts in .build/release
	go run ./internal/release check
	$(MAKE) test check-packages

.PHONY: clean
clean: ## Remove what make built, the tools included
	rm -rf $(NAME) .build .demo .tools
