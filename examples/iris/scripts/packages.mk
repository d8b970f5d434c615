# What is installed, and where it comes from, for `make setup`, `lock` and `image`. You need to read this only for a package
# index of your own, or no network at all: protoserve's docs/air-gapped.md explains the variables.

SERVER_REQUIREMENTS := requirements/server.txt requirements/model.txt
DEV_REQUIREMENTS := $(wildcard requirements/dev.txt requirements/train.txt deploy/*/requirements-dev.txt)

# pip and uv read different variables for the index: the one that is set sets the other.
export UV_DEFAULT_INDEX := $(or $(UV_DEFAULT_INDEX),$(UV_INDEX_URL),$(PIP_INDEX_URL))
export PIP_INDEX_URL := $(or $(PIP_INDEX_URL),$(filter http%,$(UV_DEFAULT_INDEX)))

PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
UV_LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-python-downloads --custom-compile-command 'make lock'

# The locks fit every system. From a folder of wheels (PIP_NO_INDEX) they can only fit the Pythons that it has wheels for.
comma := ,
space := $(subst ,, )
ifeq ($(PIP_NO_INDEX),)
IMAGE_LOCK_OPTIONS := --universal --python-version 3.12
DEV_LOCK_OPTIONS := --universal --python-version 3.11
else
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS))))
IMAGE_LOCK_OPTIONS := --no-index --python-version 3.12
DEV_LOCK_OPTIONS := --no-index --python $(BIN)/python
endif

# Build arguments are recorded in the image. The index may have a password in its URL, so it goes in as a secret.
define INDEX_CONF
[global]
index-url = $(PIP_INDEX_URL)
extra-index-url = $(PIP_EXTRA_INDEX_URL)
endef
export INDEX_CONF
own_index = $(PIP_CONF)$(PIP_INDEX_URL)$(PIP_EXTRA_INDEX_URL)
BUILD_SECRETS = $(if $(own_index),--secret id=pip_conf$(comma)$(if $(PIP_CONF),src='$(PIP_CONF)',env=INDEX_CONF)) \
    $(if $(NETRC),--secret id=netrc$(comma)src='$(NETRC)')
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# --exclude='*' ignores tags: the revision is a commit, marked if the work tree has changes.
REVISION = $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)
BUILD_ARGS = $(foreach name,VERSION REVISION BASE_IMAGE,$(if $($(name)),--build-arg $(name)='$($(name))'))
