.PHONY: test-podstart
test-podstart: ## knock at pods that start under default deny, in a real cluster, and count what gets through (slow, root)
	@hack/need go gcc nft ip
	cd test/failure && $(GO) vet ./podstart && $(GO) test -count=1 -timeout 15m -v ./podstart
	cd test/failure && $(GO) test -count=1 -timeout 15m -v ./podstart -pod-network bridge
