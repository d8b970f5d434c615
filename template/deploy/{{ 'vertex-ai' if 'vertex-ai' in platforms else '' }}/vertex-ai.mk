# Targets for Vertex AI, included by the Makefile. They run in deploy/vertex-ai/.venv.
# VERTEX_IMAGE=... replaces the imageUri of container_spec.yaml. Set variables permanently in local.mk.

VERTEX := deploy/vertex-ai
VERTEX_PYTHON := $(VERTEX)/.venv/bin/python
VERTEX_IMAGE ?=
vertex_image = $(if $(VERTEX_IMAGE),--image '$(VERTEX_IMAGE)')

.PHONY: pipeline vertex-check vertex-push vertex-upload vertex-deploy

vertex-check: $(VERTEX)/.venv/installed  ## list what Vertex AI would refuse or ignore in deploy/vertex-ai/container_spec.yaml
	@$(VERTEX_PYTHON) $(VERTEX)/spec.py $(vertex_image)

pipeline: $(VERTEX)/.venv/installed  ## compile the pipeline that uploads the model, to build/vertex-ai/pipeline.yaml
	@$(VERTEX_PYTHON) $(VERTEX)/pipeline.py build/vertex-ai/pipeline.yaml $(vertex_image)

vertex-push: image $(VERTEX)/.venv/installed  ## build the image and push it to imageUri
	@set -e; uri='$(VERTEX_IMAGE)'; test -n "$$uri" || uri=$$($(VERTEX_PYTHON) $(VERTEX)/spec.py --print imageUri); \
	    $(DOCKER) tag $(IMAGE) "$$uri"; $(DOCKER) push "$$uri"

vertex-upload: $(VERTEX)/.venv/installed  ## check, then upload the model (ARGS=--dry-run prints what would be sent)
	@$(VERTEX_PYTHON) $(VERTEX)/upload.py $(vertex_image) $(ARGS)

vertex-deploy: $(VERTEX)/.venv/installed  ## check, upload and deploy the model
	@$(VERTEX_PYTHON) $(VERTEX)/upload.py --deploy $(vertex_image) $(ARGS)

$(VERTEX)/.venv/installed: $(VERTEX)/requirements.txt
	@echo "Installing $< into $(VERTEX)/.venv; this takes a minute or more, once" >&2
	@$(PYTHON) -m venv $(VERTEX)/.venv
	@$(VERTEX_PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
