# The only door. Thin: the work is done by scripts/ and Meson.
.DEFAULT_GOAL := help
.PHONY: help run apart build install deb test test-fresh images test-images behind policies test-cluster test-package test-wire topologies test-observe postgresql conformance bench sim sim-resume sim-every sim-pairs sim-mutants saga levels crash overload linearizable fuzz fmt lint openapi lock clean

help:       ## this list
	@sed -n 's/^\([a-z%-]*\): *## */\1|/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'
run:        ## install what is missing, build, start the shop and print lines to try
	@scripts/run
apart:      ## the same as four programs; BUS_URL names a broker, DATABASE_URL_… databases
	@SHAPE=apart scripts/run
build:      ## build the programs into build/release
	@scripts/bootstrap run && scripts/build release
install:    ## programs, man page and systemd units into DESTDIR/PREFIX (/usr/local)
	@scripts/install
deb:        ## a Debian package of the same: build/deb/duka_VERSION_ARCH.deb
	@scripts/deb
test:       ## all tests; T=orders for one room, S=unit (tidy, api, e2e, …) for one stage
	@scripts/test --word '$(T)' --stage '$(S)'
postgresql: ## databases and roles on the server that URL names (as a superuser); writes postgresql.env
	@scripts/postgresql
test-fresh: ## make run and make test inside a bare Debian 12
	@scripts/test-fresh
test-package: ## the package in a bare Debian that boots systemd: each line of docs/one-machine.md
	@scripts/test-package
images:     ## the images of the four services, of the whole shop and of dukactl, by docker or podman, into build/images
	@scripts/images
policies:   ## write the network policies of deploy/kubernetes from the contracts
	@scripts/bootstrap run && build/venv/bin/python -B tools/kubernetes/policies.py
test-cluster: ## deploy/kubernetes on a real cluster: the one of KUBECONFIG, or one that scripts/cluster brings up; T=word for some
	@scripts/test-cluster '$(T)'
test-images: ## each line of docs/images.md; two builds, one digest; the shop's tests against its images
	@scripts/test-images
behind:     ## what is pinned in tools/sources.txt and behind what Debian has mended
	@scripts/behind
test-wire:  ## everything against real brokers and databases, with all faults
	@WIRE=whole scripts/test --word '$(T)' --stage wire
topologies: ## each row of the README's table: its command in a clean clone, and the e2e suite; T=Kafka for one bus
	@WIRE=whole scripts/test --stage wire --word '(its_command_starts_it or the_e2e_suite_passes or each_topology)$(if $(T), and $(T))'
test-observe: ## traces, logs and metrics of the whole shop by a real Jaeger, Zipkin and Prometheus, and while the collector is away
	@scripts/observe-tools; OBSERVE=whole scripts/test --word '$(T)' --stage observe
.PHONY: affected test-pipelines
affected:   ## services that a change touches; BASE=commit, or since each was shipped; IS=orders asks of one; TEST=1: of its tests, too
	@/usr/bin/python3 -B tools/affected/affected.py $(if $(BASE),--base '$(BASE)',--shipped) $(if $(IS),--is '$(IS)') $(if $(TEST),--test) $(if $(FORM),--form '$(FORM)')
pipe-%:     ## a stage of a service's pipeline (docs/pipelines.md), or all of them: make pipe-lint SERVICE=orders
	@SERVICE='$(SERVICE)' scripts/pipeline/$*
test-pipelines: ## the pipelines by their judges, GitLab's jobs by gitlab-ci-local, and one change from lint to a cluster; T=word for one
	@scripts/bootstrap test && scripts/pipeline-tools && scripts/build release && PIPELINES=whole scripts/test --word '$(T)' --stage pipelines
bench:      ## measure the release build
	@scripts/bench
conformance: ## the outside judges whole: schemathesis, JSONTestSuite, smuggling, slow peers; SEED=n repeats
	@SEED='$(SEED)' DUKA_CONFORMANCE=whole scripts/test --stage conformance
sim:        ## the whole shop under seeds; SEEDS=1000 for many, SEED=42 to see one again, FAULTS='…' with some of its faults
	@SEEDS='$(SEEDS)' SEED='$(SEED)' FAULTS='$(FAULTS)' scripts/sim
sim-resume: ## go on with the seeds that docs/proofs.tsv counts, up to SEEDS
	@SEEDS='$(SEEDS)' scripts/sim --resume
sim-every:  ## kill the shop at every single I/O of placing, cancel, payment, fulfilment, refund
	@scripts/bootstrap test && scripts/build sim tests/sim-every && EVERY=1 build/sim/tests/sim-every
sim-pairs:  ## kill the shop at every pair of I/Os of placing an order; FROM=40 goes on with the 40th first one
	@scripts/bootstrap test && scripts/build sim tests/sim-every && for part in 1/2 2/2; do FROM='$(FROM)' PAIRS=$$part build/sim/tests/sim-every killed_twice & done; wait
sim-mutants: ## plant bugs one by one and count the seeds until the simulation finds each
	@scripts/sim-mutants
saga:       ## every interleaving of one to three orders; what make test does up to a limit
	@scripts/bootstrap test && scripts/build asan tests/sim-saga && SAGA=whole build/asan/tests/sim-saga
levels:     ## a hundred thousand orders over months of a clock that moves on: bookkeeping levels off in every table
	@scripts/bootstrap test && scripts/build sim tests/api-shop && build/sim/tests/api-shop hundred_thousand
fuzz:       ## libFuzzer over all that reads foreign bytes; T=json for one, MINUTES=10 of processor time each, JOBS=2
	@MINUTES='$(MINUTES)' JOBS='$(JOBS)' scripts/fuzz run $(T)
crash:      ## the kill machine: HITS=200 HOW=kill (calls, start, stop, disk, files, memory, clock, store, bus, mixed) STORE=sqlite BUS=local, SEED=n; sums in docs/kills.tsv
	@scripts/crash $(if $(HITS),--hits '$(HITS)') $(if $(STORE),--store '$(STORE)') $(if $(BUS),--bus '$(BUS)') $(if $(HOW),--how '$(HOW)') $(if $(SEED),--seed '$(SEED)')
overload:   ## more than it can take, and peers that mean harm: whole, alone on the machine
	@OVERLOAD=whole scripts/test --stage overload --word '$(T)'
linearizable: ## histories under many kills (KILLS=100) and their judge; SEED=n begins one again
	@KILLS='$(or $(KILLS),100)' SEED='$(SEED)' scripts/test --stage crash --word linearizable
fmt:        ## format the source
	@scripts/fmt
lint:       ## the rules of tools/tidy and the form of the source
	@scripts/lint
openapi:    ## write contracts/openapi from the contracts
	@scripts/openapi
lock:       ## pin the Python packages of build and tests anew
	@scripts/lock
clean:      ## remove what was built; downloads and data stay
	@rm -rf build/release build/asan build/tsan build/logs
