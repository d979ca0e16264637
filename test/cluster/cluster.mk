# Real Kubernetes clusters on this machine. The Makefile of the project includes
# this file; every target needs root, and the first one that runs builds the
# control plane from the module proxy, which takes minutes.

CLUSTER := $(GO) -C test/cluster run ./cmd/cluster
CONFORMANCE := $(GO) -C test/cluster run ./cmd/conformance
CLUSTER_NEEDS := go nft iptables ip conntrack curl
# The agent as a test cluster starts it; make cluster NODES=5 IP=ipv4,ipv6
AGENT := $(CURDIR)/bin/bulkhead agent --kubeconfig {kubeconfig} --node-name {node}
AGENT_READY := http://127.0.0.1:9477/readyz
NODES ?= 2
IP ?= ipv4
KUBE_PROXY ?= nftables
POD_NETWORK ?= routed
PROCS ?= 4
# Clusters that share a long suite, side by side
PARTS ?= 2
RESULTS ?= /tmp/bulkhead-conformance
# Arguments of bench-peers; make bench-peers PEERS="--measure throughput --rounds 15"
PEERS ?=
REPORT = --results $(RESULTS) --procs $(PROCS) --parts $(PARTS) --out $(CURDIR)/docs/conformance.md
WITH_BULKHEAD := --name Bulkhead --engine-version "$$(git describe --always --dirty)" --engine '$(AGENT)' --engine-ready $(AGENT_READY)

.PHONY: cluster
cluster: build ## a Kubernetes cluster on this machine with Bulkhead on every node
	@hack/need $(CLUSTER_NEEDS)
	@$(CLUSTER) up --nodes $(NODES) --ip $(IP) --kube-proxy $(KUBE_PROXY) --pod-network $(POD_NETWORK) \
	  --engine '$(AGENT)' --engine-ready $(AGENT_READY)

.PHONY: cluster-down
cluster-down: ## end the cluster that make cluster has started
	@$(CLUSTER) down

.PHONY: test-cluster
test-cluster: ## the test cluster's own checks and tests
	@hack/need $(CLUSTER_NEEDS)
	cd test/cluster && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test -timeout 30m ./...
	cd test/cluster/binaries/cyclonus && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test ./...

.PHONY: e2e
e2e: build ## Kubernetes' own 50 network policy specs against Bulkhead
	@hack/need $(CLUSTER_NEEDS)
	@$(CONFORMANCE) --suite e2e --kube-proxy $(KUBE_PROXY) --pod-network $(POD_NETWORK) --ip $(IP) --procs $(PROCS) --without=false $(WITH_BULKHEAD)

.PHONY: conformance
conformance: build ## all upstream suites, with Bulkhead and without; writes docs/conformance.md (an hour)
	@hack/need $(CLUSTER_NEEDS)
	@rm -rf $(RESULTS)
	@$(CONFORMANCE) $(REPORT) --suite e2e,cyclonus --kube-proxy nftables,iptables $(WITH_BULKHEAD)
	@$(CONFORMANCE) $(REPORT) --suite e2e --without=false --ip ipv6 --ip ipv4,ipv6 --kube-proxy nftables,iptables $(WITH_BULKHEAD)
	@$(CONFORMANCE) $(REPORT) --suite e2e --without=false --pod-network bridge --kube-proxy nftables,iptables $(WITH_BULKHEAD)

.PHONY: conformance-cnp
conformance-cnp: build ## the suite of ClusterNetworkPolicy, with Bulkhead and without; writes its page in docs (20 minutes)
	@hack/need $(CLUSTER_NEEDS)
	@rm -rf $(RESULTS)-cnp
	@$(CONFORMANCE) --results $(RESULTS)-cnp --suite cnp --parts 2 --kube-proxy nftables,iptables --out $(CURDIR)/docs/conformance-clusternetworkpolicy.md $(WITH_BULKHEAD)

.PHONY: bench-peers
bench-peers: build ## Bulkhead beside kube-router and no engine, on the same cluster and work (about 10 minutes)
	@hack/need $(CLUSTER_NEEDS) ipset
	@$(GO) -C test/cluster run ./cmd/peers $(WITH_BULKHEAD) $(PEERS)
