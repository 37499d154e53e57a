# The words people type. Every one of them ends with an error when what it promises was not done,
# and says "skipped" with the reason where something could not be run here.

CARGO     ?= cargo
PREFIX    ?= /usr
DESTDIR   ?=
# Names of scenarios, or core, all, containers, machines, versus-stock; see docs/testing.md.
SCENARIO  ?= core
# stock, ours, or a list like VirtualDomain=stock; empty: ours where it exists.
AGENTS    ?=
# Debian release of the labs' nodes: bookworm (12) where it is empty, or trixie (13).
SUITE     ?=
# How many labs of machines at once, each with 3 GB of memory, and one of containers beside two; what is measured runs alone all the same.
LANES     ?= 2
# What decides machines/chaos, a number (empty: another one each time), and for how long new disturbances begin.
SEED      ?=
MINUTES   ?=

# Where Pacemaker looks for agents is fixed when Pacemaker is built, so PREFIX does not move it.
AGENT_DIR := $(DESTDIR)/usr/lib/ocf/resource.d/rust
# Where it looks for fence agents likewise.
SBIN_DIR  := $(DESTDIR)/usr/sbin
# Programs that ours become or call; the path is in them, so PREFIX does not move it either.
LIBEXEC_DIR := $(DESTDIR)/usr/lib/duet
MAN_DIR   := $(DESTDIR)$(PREFIX)/share/man
# Where the agents' metadata says that its document type is; PREFIX does not move it either.
DTD_DIR   := $(DESTDIR)/usr/share/duet
DOC_DIR   := $(DESTDIR)$(PREFIX)/share/doc/duet
# What systemd reads, and where it looks whatever PREFIX says.
UNIT_DIR  := $(DESTDIR)/usr/lib/systemd/system
USERS_DIR := $(DESTDIR)/usr/lib/sysusers.d

TARGET    := $(or $(CARGO_TARGET_DIR),target)
# Every agent is a package of its own, in a folder of that name, and installed under that name: where FOLDER_<package>
# says, else with the resource agents. ALIASES_<package> are links to it beside it.
FOLDER_fence_xvm  := $(SBIN_DIR)
ALIASES_fence_xvm := fence_virt
FOLDER_fence_virtd := $(SBIN_DIR)
# Beside the stock handlers, whose names end in .sh and stay theirs.
FOLDER_crm-fence-peer  := $(DESTDIR)/usr/lib/drbd
ALIASES_crm-fence-peer := crm-unfence-peer stonith_admin-fence-peer snapshot-resync-target-lvm \
             unsnapshot-resync-target-lvm before-resync-source notify-split-brain \
             notify-initial-split-brain notify-out-of-sync notify-io-error notify-pri-lost \
             notify-pri-lost-after-sb notify-pri-on-incon-degr notify-quorum-lost \
             notify-emergency-reboot notify-emergency-shutdown
folder     = $(or $(FOLDER_$(1)),$(AGENT_DIR))
PACKAGES  := $(patsubst agents/%/Cargo.toml,%,$(sort $(wildcard agents/*/Cargo.toml)))
BUILT     := $(addprefix $(TARGET)/release/,$(PACKAGES))
# What agents become or supervise, made with them.
BESIDE    := $(patsubst %.rs,$(TARGET)/release/%,$(notdir $(filter-out \
             $(foreach p,$(PACKAGES),agents/$(p)/bin/$(p).rs),$(wildcard agents/*/bin/*.rs))))
export DUET_LAB_SEED := $(or $(SEED),$(DUET_LAB_SEED))
export DUET_LAB_MINUTES := $(or $(MINUTES),$(DUET_LAB_MINUTES))
LAB       := $(CARGO) run --release --locked -q -p lab -- $(if $(AGENTS),--agents $(AGENTS)) $(if $(SUITE),--suite $(SUITE))
# What the programs are made from: tests do not make them older.
SOURCES   := Cargo.toml Cargo.lock $(shell find src agents -name tests -prune -o -type f -print)

# deps comes before build, and one build is enough for two cores.
.NOTPARALLEL:
.PHONY: help deps build test demo lab bench audit install
.DEFAULT_GOAL := help

help:
	@echo "make deps      install what building and the labs need (root; Debian 12 or newer)"
	@echo "make build     build the programs"
	@echo "make test      format, lints and every test that needs no lab"
	@echo "make demo      two machines, one guest, a power cut (root; KEEP=1 leaves the lab up)"
	@echo "make lab       the scenarios (root; SCENARIO=all for every variant, SCENARIO='machines/power-cut ...' chooses, AGENTS=stock compares, SUITE=trixie for Debian 13)"
	@echo "make bench     what our programs cost beside the stock ones (root)"
	@echo "make audit     licences, duplicates, sources and advisories of the dependencies"
	@echo "make install   install the built programs (DESTDIR=, PREFIX=$(PREFIX))"

deps:
	@sh packaging/deps.sh

build:
	$(CARGO) build --release --locked $(addprefix -p ,$(PACKAGES))

# cargo hides what a passing test says, and with it what could not be run here: that comes last.
test:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then \
		echo "$(CARGO) fmt --all --check" && $(CARGO) fmt --all --check; \
	else echo "skipped: format: cargo fmt is not installed (make deps)"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then \
		echo "$(CARGO) clippy" && $(CARGO) clippy --workspace --all-targets --locked -- -D warnings; \
	else echo "skipped: lints: cargo clippy is not installed (make deps)"; fi
	@echo "$(CARGO) test --workspace --locked --no-fail-fast"; log=$(TARGET)/test.log; mkdir -p $(TARGET); \
	{ $(CARGO) test --workspace --locked --no-fail-fast -- --show-output 2>&1; echo $$? >$$log.status; } | tee $$log; \
	sed -n '/^skipped: /p' $$log | sort -u; exit $$(cat $$log.status)

demo: deps build
	$(LAB) demo

# The lab's own manners are tested with the real thing too, but only where everything is asked for.
lab: deps build
	$(LAB) $(SCENARIO) --lanes $(LANES)
ifeq ($(strip $(SCENARIO)),all)
	$(CARGO) run --locked -q -p duet-explorer -- --states 10000000
	DUET_LAB_TESTS=1 $(CARGO) test --locked -p lab --test rough_handling -- --test-threads=1 --nocapture
endif

bench: deps build
	$(LAB) bench

# Advisories need a database from the network; everything else is in this repository.
audit:
	@$(CARGO) deny --version >/dev/null 2>&1 || { \
		echo "audit: cargo-deny is not installed: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check licenses bans sources
	@if why=$$($(CARGO) deny --locked fetch db 2>&1); then \
		$(CARGO) deny --locked check --disable-fetch advisories; \
	else echo "skipped: advisories: no database could be fetched: $$(printf '%s\n' "$$why" | tail -n 1)"; fi

# Built only if a source is newer, so that `sudo make install` after `make build` needs no cargo.
$(BUILT): $(SOURCES)
	$(CARGO) build --release --locked -p $(@F)
	@touch -c $@

# One package: its folder, the program, and links to it.
define install_package
install -d $(call folder,$(1))
install -m 755 $(TARGET)/release/$(1) $(call folder,$(1))/
$(foreach alias,$(ALIASES_$(1)),ln -sf $(1) $(call folder,$(1))/$(alias)
)
endef

install: $(BUILT)
	install -d $(LIBEXEC_DIR) $(MAN_DIR)/man5 $(MAN_DIR)/man7 $(MAN_DIR)/man8 $(DOC_DIR) $(DTD_DIR) $(UNIT_DIR) $(USERS_DIR)
	$(foreach package,$(PACKAGES),$(call install_package,$(package)))
	install -m 755 $(BESIDE) $(LIBEXEC_DIR)/
	install -m 644 ocf-metadata/schema/ocf-1.1.dtd $(DTD_DIR)/
	install -m 644 docs/man/*.5 $(MAN_DIR)/man5/
	install -m 644 docs/man/*.7 $(MAN_DIR)/man7/
	install -m 644 docs/man/*.8 $(MAN_DIR)/man8/
	install -m 644 packaging/systemd/*.service $(UNIT_DIR)/
	install -m 644 packaging/systemd/fence_virtd.sysusers $(USERS_DIR)/fence_virtd.conf
	install -m 644 README.md CHANGELOG.md docs/compatibility.md docs/migrate.md LICENSE $(DOC_DIR)/
