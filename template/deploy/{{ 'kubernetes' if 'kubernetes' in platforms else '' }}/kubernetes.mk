# Targets for Kubernetes, included by the Makefile. Set variables in local.mk.

# Renders an overlay; `kustomize build` does the same.
KUSTOMIZE ?= kubectl kustomize
# Your cluster's version, such as 1.33. Default: the newest that has schemas.
KUBERNETES_VERSION ?=

.PHONY: kubernetes
kubernetes: | $(BIN)/kubernetes-validate  ## render deploy/kubernetes/overlays to build/kubernetes and check the result (KUBERNETES_VERSION=1.33)
	$(if $(KUBERNETES_VERSION),@$(BIN)/python -c 'import sys; from kubernetes_validate.utils import all_versions; \
	    known = [version.rpartition(".")[0] for version in all_versions()]; \
	    ".".join("$(KUBERNETES_VERSION)".lstrip("v").split(".")[:2]) in known or sys.exit( \
	    f"KUBERNETES_VERSION=$(KUBERNETES_VERSION) has no schemas: use {known[0]} to {known[-1]}")')
	@mkdir -p build/kubernetes
	@for overlay in $(notdir $(patsubst %/,%,$(wildcard deploy/kubernetes/overlays/*/))); do \
	    rendered=build/kubernetes/$$overlay.yaml; \
	    $(KUSTOMIZE) deploy/kubernetes/overlays/$$overlay >$$rendered.new || exit 1; \
	    mv $$rendered.new $$rendered; \
	    if grep -q ':set-in-overlay' $$rendered; then \
	        echo "$$overlay sets no tag: in its kustomization.yaml, \`images\` must have the name of the image in base" >&2; exit 1; \
	    fi; \
	    $(BIN)/kubernetes-validate --strict --quiet $(addprefix --kubernetes-version ,$(KUBERNETES_VERSION)) $$rendered || exit 1; \
	    echo "$$rendered: all keys and types are valid"; \
	done

$(BIN)/kubernetes-validate: | $(BIN)/python
	@echo "kubernetes-validate is not installed yet: run 'make setup' again." >&2; exit 1
