.PHONY: test-nri
test-nri: ## the agent's talk with the container runtime, against NRI's own library
	@hack/need go
	cd test/nri && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m ./...
