.PHONY: test-dialects
test-dialects: ## apply policies of every dialect to a real cluster, change and delete them, with real connections (slow, root)
	@hack/need go nft ip curl
	cd test/failure && $(GO) vet ./dialects && $(GO) test -count=1 -timeout 15m -v ./dialects
