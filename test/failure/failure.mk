.PHONY: test-failure
test-failure: ## break what an agent stands on in a real cluster, and count packets; REPORT=docs/failure.md writes it down (slow, root)
	@hack/need go gcc nft ip
	cd test/failure && $(GO) vet ./... && BULKHEAD_FAILURE_REPORT=$(abspath $(REPORT)) $(GO) test -count=1 -timeout 45m -v .
