# Everything a newcomer needs: `make demo`. `make help` lists the rest.
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test test-clients check bench fuzz proof release prepare

# For each target of `make fuzz`.
SECONDS_EACH ?= 60
FUZZ_TARGETS ?= guard guarded_connection guarded_frames host_and_path nginx_upstream proxy_header

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

demo: prepare ## build, then start four origins, the proxy and its control endpoint on 127.0.0.1
	$(CARGO) build --locked --release
	@exec target/release/pointsman demo

test: ## run every test; installs redis-server when it is missing
	@scripts/prepare.sh tests
	$(CARGO) test --locked

test-clients: prepare ## let curl, h2load and Python's clients talk to the real binary; installs them
	$(CARGO) build --locked --release
	scripts/test_clients.sh target/release/pointsman

check: prepare ## format and lints, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: prepare ## run the benchmarks
	$(CARGO) bench --locked

fuzz: prepare ## fuzz what reads foreign text, a minute for each target (SECONDS_EACH=...)
	for target in $(FUZZ_TARGETS); do scripts/fuzz.sh $$target $(SECONDS_EACH) || exit 1; done

proof: prepare ## the claims that take long, at full size: about half an hour
	@scripts/install.sh nginx=nginx-light wrk=wrk curl=curl python3=python3
	$(CARGO) build --locked --release
	POINTSMAN_PROOF=1 POINTSMAN_BINARY="$(CURDIR)/target/release/pointsman" $(CARGO) test --locked --test proof -- --nocapture --test-threads 1
	POINTSMAN_PROOF=1 $(CARGO) test --locked --release --test model -- --nocapture --test-threads 1
	proof/real_parts.py --seconds 600
	proof/half_open.py
	@if [ -x proof/health_load.py ]; then proof/health_load.py; fi

release: prepare ## the fastest binary, at target/dist/pointsman (compiles slowly)
	$(CARGO) build --locked --profile dist --bin pointsman

prepare: # installs cmake when it is missing; everything else must be there
	@scripts/prepare.sh
