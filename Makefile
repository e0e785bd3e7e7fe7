# Penstock's commands. `make demo` and `make test` need Go and nothing else.

GO     ?= go
BIN    := bin/penstock
STATIC := $(GO) tool staticcheck
FUZZ   ?= 10s

.PHONY: build demo test race interop crash steering bench bench-all senders check fuzz gen lint clean

build: ## bin/penstock
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/penstock

demo: build ## a real campaign to a local receiving server, interrupted, continued, reported
	$(BIN) demo

test: ## every test that needs nothing but Go
	$(GO) test ./...

race: ## the same under the race detector
	$(GO) test -race ./...

interop: ## against Postfix, Exim, OpenSMTPD and other verifiers; installs Debian's packages
	.ci/interop

crash: build ## 100 kills over a campaign of 200,000 recipients
	PENSTOCK_CRASH=1 PENSTOCK_BIN=$(CURDIR)/$(BIN) $(GO) test -run TestKilledAtRandom -timeout 30m -count 1 -v ./bench/crash

steering: build ## how fast many campaigns obey, what they cost idle, how they share; about 10 minutes
	PENSTOCK_STEERING=1 PENSTOCK_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 40m -count 1 -v ./bench/steering

bench: build ## the table of figures; SCENARIO="a b" chooses
	$(BIN) bench $(SCENARIO)

bench-all: build ## every figure, other senders included, into bench/results; about 20 minutes
	$(BIN) bench '*' --out bench/results

senders: ## fetches the other senders that bench-all compares with, into bin/senders
	bench/senders/install

check: ## what must be true of the source: format, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATIC) ./...

fuzz: ## each fuzz target for FUZZ
	.ci/fuzz $(FUZZ)

gen: ## generated code: the control plane's API (needs npm for buf) and assembly
	.ci/generate

clean:
	rm -rf bin demo-data bench/out
