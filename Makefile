# Everything happens in .venv, which is made anew when the lock file changes. Needed: make, python3 (3.11 or newer) with
# venv, git. `make PYTHON=python3.13 test` takes another Python.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
LOCK := build/lock
# The resolver of `make lock` only; nothing else needs it.
UV := uv==0.13.8
COMPILE := $(LOCK)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-real test-secured test-scenarios test-depth test-kafka test-kafka-sets test-kafka-brokers \
	test-kafka-rest test-postgres test-together test-pods test-pods-kafka test-kubernetes storm test-storm test-fast fuzz \
	lint docs sim mutants bench servers jars image node prepare lock clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/project.stamp ## make .venv with everything in it (the other targets do so when they must)

demo: setup ## a real etcd cluster forms, loses disks, heals and explains itself, in a minute
	@$(VENV)/bin/peerboot lab demo etcd

# What has a target of its own.
APART := --ignore=tests/real --ignore=tests/kubernetes --ignore=tests/image --ignore=tests/monitoring \
	--ignore=tests/simulation/test_etcd.py
test: setup lint servers ## everything that must pass but the long scenarios below; real servers included
	$(PY) -m pytest $(APART)

# One that fails is run once more, for servers live by the clock; what fails twice fails. Each target remembers its own
# failures, for several may run at the same time: most of it they wait, and each lab has a network of its own. Of those
# the second runs are put off until all have ended, one after the other: beside the same neighbours it would tell little.
LAST := --last-failed --last-failed-no-failures=none
once = $(PY) -m pytest -o cache_dir=.pytest_cache/$@ $(1)
twice = $(if $(AGAIN),,$(once) ||) $(if $(PUT_OFF),touch $(PUT_OFF)/$@,$(once) $(LAST))

REAL := $(foreach name,forming disks stale corrupt restarts tls,tests/real/test_$(name).py)
# Kafka's late Pod is here, for it waits five minutes in which no server runs, and this group has the most room.
KAFKA_LATE := tests/real/test_kafka_late.py
MORE := $(foreach name,dns people adoption pods dying recovery,tests/real/test_$(name).py) $(KAFKA_LATE)
test-real: setup servers ## every row of etcd's decision table on real servers
	$(call twice,$(REAL))

test-secured: export PEERBOOT_TEST_SECURED = 1
test-secured: setup servers ## the same, and people's words, with TLS, and passwords once a set has formed (20 minutes)
	$(call twice,$(filter-out %test_tls.py,$(REAL)) $(foreach name,dns people disaster,tests/real/test_$(name).py))

test-scenarios: setup servers jars ## further long scenarios: DNS, people's words, killed at each action; one of Kafka's (14 minutes)
	$(call twice,$(MORE))

DEPTH := $(foreach name,disaster upgrades census_tls monitoring recorder,tests/real/test_$(name).py) tests/monitoring \
	tests/simulation/test_etcd.py
test-depth: setup servers ## etcd in depth: disaster, updates, census by certificates, alerts, the recorder, the model held against servers
	$(call twice,$(DEPTH))

# Three groups of about the same length, a quarter of an hour each when nothing else runs.
KAFKA_SETS := $(foreach name,set disks dying security,tests/real/test_kafka_$(name).py)
KAFKA_BROKERS := tests/real/test_kafka.py $(foreach name,brokers health dns,tests/real/test_kafka_$(name).py)
KAFKA_REST := $(filter-out $(KAFKA_SETS) $(KAFKA_BROKERS) $(KAFKA_LATE),$(wildcard tests/real/test_kafka*.py))
test-kafka-sets: setup jars # sets that form, lose disks, are killed, have TLS and logins
	$(call twice,$(KAFKA_SETS))

test-kafka-brokers: setup jars # the client, brokers of a set of their own, health, names
	$(call twice,$(KAFKA_BROKERS))

test-kafka-rest: setup jars # brokers that go, static quorums, the demo
	$(call twice,$(KAFKA_REST))

# With more than five at once servers on two cores no longer keep their own times: the last waits until one has ended.
# What they start was made before, by the target that calls this.
KAFKA := test-kafka-sets test-kafka-brokers test-kafka-rest
PUT_OFFS = build/again-$@
together = @rm -rf $(PUT_OFFS); mkdir -p $(PUT_OFFS); result=0; \
	$(MAKE) --no-print-directory --jobs=5 --keep-going --output-sync=target $(MADE) PUT_OFF=$(PUT_OFFS) $(1) || result=$$?; \
	for group in $$(ls $(PUT_OFFS)); do $(MAKE) --no-print-directory $(MADE) AGAIN=1 $$group || result=$$?; done; \
	exit $$result
MADE := $(foreach target,servers jars node,--old-file=$(target))
test-kafka: setup jars ## every row of Kafka's decision table on real servers of three releases (a JDK and Maven)
	$(call together,$(KAFKA))

test-postgres: setup servers ## what Postgres' launch.sh makes, copies and rewinds, with real servers of four releases
	$(call twice,$(wildcard tests/real/test_postgres*.py))

test-together: setup servers jars ## all of these at the same time; what each part said is shown when it has ended
	$(call together,$(KAFKA) test-postgres test-scenarios test-real)

# Two nodes at the same time, for their tests wait most of the time; four of etcd's files are Kafka's group's, so that
# both take about as long.
KAFKA_PODS := $(foreach name,kafka* adoption again recovery tls,$(wildcard tests/kubernetes/test_$(name).py))
PODS := tests/image $(filter-out $(KAFKA_PODS),$(wildcard tests/kubernetes/test_*.py))
test-pods: setup servers node # the image, and etcd's Pods
	$(call twice,$(PODS))

test-pods-kafka: export PEERBOOT_TEST_NODE_DIR = $(CURDIR)/build/node-kafka
test-pods-kafka: setup servers jars node # Kafka's Pods, and sets of etcd that are made again or mended by a person
	$(call twice,$(KAFKA_PODS))

# Pods wait most of the time: beside them is room for what is about etcd alone.
test-kubernetes: setup servers jars node ## the image, real Pods on nodes that it makes (as root) or where KUBECONFIG leads; a storm, test-depth
	$(call together,test-pods test-pods-kafka test-depth test-storm)

# A storm is never run again until it passes, so without the second runs of the others. By itself: make storm.
MINUTES ?= 60
storm: setup servers ## nine real etcds, faults on top of one another, a linearizability check: make storm MINUTES=60 SEED=7
	@$(PY) -m tests.storm --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

test-storm: setup servers # ten minutes of it, another seed each time
	$(PY) -m tests.storm --minutes 10

POSTGRES_SERVERS := $(foreach name,states door_seen door_calls,--ignore=tests/postgres/test_$(name).py)
STORM_SERVERS := $(foreach name,linearizable disks,--ignore=tests/storm/test_$(name).py)
test-fast: setup ## the tests without real servers
	$(PY) -m pytest $(APART) --ignore=tests/etcd --ignore=tests/lab $(POSTGRES_SERVERS) $(STORM_SERVERS)

# A RUNS of its own has no bound in time. atheris is not in .venv, which is made for more machines than it has wheels for.
FUZZ_LIB := build/fuzz/lib
SECONDS ?= $(if $(RUNS),0,60)
fuzz: setup $(FUZZ_LIB).stamp ## bytes of any kind to all that reads what others wrote: SECONDS=60 or RUNS=1000000, TARGET=dns
	$(PY) -m tests.fuzz.run --seconds $(SECONDS) --runs $(or $(RUNS),0) $(TARGET)

lint: setup ## style, types, import contracts, and whether the generated pages are fresh
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m tools.docs --check

docs: setup ## write the generated pages
	$(PY) -m tools.docs

# make sim SEED=123 tells the story of one seed, and shrinks it where it fails.
SEEDS ?= 200
sim: setup ## a set of Pods under faults drawn from seeds: make sim SEEDS=10000, make sim SEED=123 for one
	$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --jobs $$(nproc))

mutants: setup ## each rule and each law check is taken away in turn, and some test must notice
	$(PY) -m tests.mutants

bench: setup ## measure, and print the tables
	$(PY) -m benchmarks

servers: setup ## provide the real servers that the tests start
	$(PY) -m peerboot.lab.servers --all
	$(PY) -m peerboot.lab.postgres --all
	$(PY) -m peerboot.lab.routers
	$(PY) -m peerboot.lab.prometheus
	$(PY) -m tests.storm.linearizable

jars: setup ## provide the real Kafkas: their jars by Maven, once
	@$(PY) -m peerboot.lab.jars

# On a registry's base: make image BASE=python:3.13-slim. Without one: BASE=local, which is Debian, made on this machine.
BASE ?= python:3.13-slim
image: setup ## peerboot's image by buildah, on BASE; `python -m tools.image` makes the context for other builders
	$(PY) -m tools.image build --base $(BASE)

node: setup ## the programs of the node that test-kubernetes makes, once (7 to 10 minutes); nothing where KUBECONFIG is set
	@test -n "$$KUBECONFIG" || tests/kubernetes/node/build

prepare: jars node ## what test-together and test-kubernetes make when they must, beforehand, once (8 to 12 minutes)
	@test -n "$$KUBECONFIG" || tests/kubernetes/node/image base

lock: ## resolve the dependencies anew into requirements/*.txt (UPGRADE=--upgrade takes newer releases)
	test -x $(LOCK)/bin/uv || { $(PYTHON) -m venv --clear $(LOCK) && $(LOCK)/bin/python -m pip install --quiet $(UV); }
	$(COMPILE) $(UPGRADE) --extra lab --group dev --output-file requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --extra lab --output-file requirements/lab.txt
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/run.txt
	$(filter-out pyproject.toml,$(COMPILE)) $(UPGRADE) --group fuzz --output-file requirements/fuzz.txt

clean: ## remove what these targets made
	@for node in build/node build/node-kafka; do \
		test ! -e $$node/state || PEERBOOT_TEST_NODE_DIR=$(CURDIR)/$$node tests/kubernetes/node/down; done
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find peerboot tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/lock.stamp: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "peerboot needs Python 3.11 or newer, and $(PYTHON) is not: name one, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>&- || \
		{ echo "$(PYTHON) cannot make a virtual environment: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(FUZZ_LIB).stamp: requirements/fuzz.txt $(VENV)/lock.stamp
	@$(PY) -c 'import platform, sys; sys.exit(sys.version_info >= (3, 14) or platform.machine() != "x86_64")' || \
		{ echo "make fuzz needs atheris, which is there for Python 3.11 to 3.13 on x86-64: make PYTHON=python3.13 fuzz" >&2; exit 1; }
	rm -rf $(FUZZ_LIB)
	$(PIP) --require-hashes --no-deps --target $(FUZZ_LIB) -r requirements/fuzz.txt
	@touch $@

# compat: a plain path; the default is a finder whose imports cost every start of Python in .venv 40 ms. Byte-code: where
# PYTHONDONTWRITEBYTECODE is set each of the peerboots that tests start would compile itself, which takes 60 ms.
$(VENV)/project.stamp: $(VENV)/lock.stamp pyproject.toml peerboot/__init__.py
	$(PIP) --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@$(PY) -m compileall -q peerboot
	@touch $@
