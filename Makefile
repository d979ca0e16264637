# `make help` lists the targets. Each installs what it needs (hack/need).
SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/bulkhead
	@hack/need go
	$(GO) build -trimpath -o bin/bulkhead ./cmd/bulkhead

.PHONY: demo
demo: build ## run the web-shop example in the lab
	bin/bulkhead lab run examples/web-shop

.PHONY: test
test: lint ## all checks and tests of every day (under 15 minutes on two cores)
	@hack/need go gcc nft ip conntrack iptables
	$(GO) test -timeout 20m ./...

.PHONY: ci
ci: test test-cilium e2e ## what CI runs: test, Cilium's opinion, then Kubernetes' own 50 specs on a real cluster (30 minutes where nothing is built yet)

.PHONY: lint
lint: ## gofmt, go vet, go mod tidy, staticcheck
	@hack/need go
	@files=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$files" || { echo "not gofmt-ed: $$files"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

.PHONY: test-long
test-long: ## millions of random connections on the model, tens of thousands with packets (about 15 minutes)
	@hack/need go nft ip conntrack
	$(GO) test -timeout 60m -run PlansAgree ./compile -worlds 10000
	$(GO) test -timeout 60m -run RandomWorlds ./lab -worlds 200

.PHONY: test-race
test-race: ## the tests under the race detector (slow)
	@hack/need go gcc nft ip conntrack iptables
	$(GO) test -race -timeout 60m ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	@hack/need go gcc
	@hack/fuzz $(FUZZTIME)

.PHONY: bench
bench: bench-compile bench-datapath bench-dns ## all benchmarks

.PHONY: bench-compile
bench-compile: ## compile: full and one change, 1,000 to 100,000 pods, 10 to 10,000 policies
	@hack/need go
	$(GO) test -run '^$$' -bench . -benchmem ./compile

.PHONY: bench-datapath
bench-datapath: ## packets: no firewall, conntrack, Bulkhead and iptables with 10 to 10,000 policies
	@hack/need go ip nft iptables ipset
	$(GO) run ./bench/datapath

.PHONY: bench-dns
bench-dns: ## queries: through the DNS proxy and directly
	@hack/need go
	$(GO) run ./bench/dns

include deploy/deploy.mk
include test/cluster/cluster.mk
include test/cilium/cilium.mk
include test/failure/failure.mk
include test/scale/scale.mk
include test/failure/podstart/podstart.mk
include test/failure/dialects/dialects.mk
include test/nri/nri.mk
