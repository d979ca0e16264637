WORLDS ?= 2000

.PHONY: test-cilium
test-cilium: ## our verdicts beside those of Cilium's own packages on WORLDS random clusters (ten minutes from scratch, then one)
	@hack/need go
	cd test/cilium && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m -v . -worlds $(WORLDS)
