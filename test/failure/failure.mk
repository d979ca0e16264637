.PHONY: test-failure
test-failure: ## break what an agent stands on in a real cluster, and count packets (slow, root)
	@hack/need go gcc nft ip
	cd test/failure && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m -v ./...
