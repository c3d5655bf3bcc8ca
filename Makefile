# The project's commands. `make` alone lists them.

.PHONY: help test check simulate demo bench

help:
	@echo 'make test    everything: format, lints, licences, tidiness, all tests of all languages'
	@echo 'make check   the quick part of it: format, lints, tidiness, unit tests'
	@echo 'make simulate SEEDS=10000   that many simulated clusters of each sort; docs/testing.md'
	@echo 'make demo    the query example on 500 real sentences; starts it, shows it, stops it'
	@echo 'make bench   Katamari next to its peers, about 45 minutes; bench/README.md has the parts'
	@echo
	@echo 'Each says first what it would install on a Debian machine and asks, unless CI=true or YES=1.'

test:
	@scripts/test.sh

check:
	@scripts/test.sh quick

simulate:
	@CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true KATAMARI_SEEDS=$(or $(SEEDS),1000) \
		cargo test --release --package katamari-dispatch --test sim

demo:
	@scripts/demo.sh

bench:
	@bench/run.sh
