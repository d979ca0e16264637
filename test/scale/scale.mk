# An agent in clusters of any size. Both targets need root, and are for a machine
# with nothing else to do.

SCALE := $(GO) -C test/scale run . -agent $(CURDIR)/bin/bulkhead
PODS ?= 100000

.PHONY: bench-agent
bench-agent: build ## an agent in a cluster of PODS (100000) pods: start, memory, time from API to kernel
	@hack/need go nft ip
	@$(SCALE) -pods $(PODS)

.PHONY: bench-reaction
bench-reaction: build ## packets: how soon a denial and an allowance work, with 200 pods and 100 policies
	@hack/need go nft ip
	@$(SCALE) -reaction

.PHONY: test-scale
test-scale: ## the bench's own checks and tests
	cd test/scale && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test ./...
