# Installing Bulkhead: the image, the manifests, and their tests. The tools have a
# module of their own, so that Helm and registries are no requirement of the
# product.
IMAGE ?= ghcr.io/bulkhead-dev/bulkhead
VERSION ?= $(shell sed -n 's/^appVersion: //p' deploy/chart/bulkhead/Chart.yaml)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
ARCHITECTURES ?= amd64 arm64

.PHONY: image
image: ## build bin/bulkhead-image.tar, an OCI image, without Docker
	@hack/need go
	@for arch in $(ARCHITECTURES); do \
	  echo "building bulkhead $(VERSION) for linux/$$arch"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -buildvcs=false \
	    -ldflags "-s -w -X main.release=$(VERSION)" -o bin/image/bulkhead-$$arch ./cmd/bulkhead || exit 1; \
	done
	cd deploy/tools && $(GO) run ./image --tag $(IMAGE):$(VERSION) --version $(VERSION) --revision "$(REVISION)" \
	  --licence ../../LICENSE --out ../../bin/bulkhead-image.tar \
	  $(foreach arch,$(ARCHITECTURES),linux/$(arch)=../../bin/image/bulkhead-$(arch))

.PHONY: manifests
manifests: ## make the chart's definitions, and deploy/bulkhead.yaml and uninstall.yaml from the chart
	@hack/need go
	for api in policy calico cilium; do $(GO) run ./cmd/bulkhead crds $$api > deploy/chart/bulkhead/files/$$api.yaml || exit 1; done
	cd deploy/tools && $(GO) test ./render -run Manifests -count=1 -update

.PHONY: test-deploy
test-deploy: ## test the chart, the manifests and the image
	@hack/need go
	cd deploy/tools && $(GO) vet ./... && $(GO) test ./...

test: test-deploy
