#!/bin/sh
# Installs what building and the labs need on Debian 12 or newer: `make deps`. Asks nothing, changes
# nothing when all is there, and says what it could not do.
#
# None of these packages has a service, so nothing starts on a machine with systemd. libvirt, QEMU,
# Pacemaker and DRBD are not among them: the labs bring their own (docs/architecture.md).
set -eu
LC_ALL=C; export LC_ALL
# debootstrap (its recommended keyring is what it checks the archive with), a linker and C library,
# the assembler that builds the labs' guest, xmllint for the schema tests, ip for the tests of the
# labs' manners, unshare and nsenter, qemu-img for the tests of copy-on-write images, libvirt's client library (no daemon
# comes with it) for what VirtualDomain-libvirt links.
packages="debootstrap debian-archive-keyring gcc libc6-dev make binutils libxml2-utils iproute2 ca-certificates util-linux qemu-utils libvirt-dev pkg-config"
oldest=1.85

fail() { echo "deps: $*" >&2; exit 1; }
# Version $1 is $2 or newer.
reaches() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
# What `cargo --version` or `cargo fmt --version` says, or nothing.
version_of() { "$@" --version 2>/dev/null </dev/null | awk '{ print $2; exit }' || :; }
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
candidate() { apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2; exit }'; }

# Which family of Rust packages this Debian has: "-web" where the plain ones are too old (Debian 12
# keeps a newer toolchain under that name for its browsers), "" where they are new enough.
family() {
	for suffix in "" -web; do
		found=$(candidate "rustc$suffix")
		case $found in [0-9]*) if reaches "$found" "$oldest"; then echo "rustc$suffix"; return; fi ;; esac
	done
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
	fail "this machine has no apt; install the counterparts of: $packages, and Rust $oldest or newer"

missing=
for package in $packages; do is_installed "$package" || missing="$missing $package"; done

have=$(version_of cargo)
wants_cargo=
if [ -z "$have" ] || ! reaches "$have" "$oldest"; then
	wants_cargo=yes
	# Debian's would come second on PATH, so installing it would help nobody.
	if path=$(command -v cargo) && ! dpkg-query -S "$path" >/dev/null 2>&1; then
		fail "$path is cargo ${have:-without a toolchain}, $oldest or newer is needed: rustup update stable, or take it off PATH"
	fi
fi
# Lints and format: only for a cargo of Debian's. Whoever has another knows where it came from.
wants_lints=
if [ -z "$wants_cargo" ] && { [ -z "$(version_of cargo fmt)" ] || [ -z "$(version_of cargo clippy)" ]; }; then
	if owner=$(dpkg-query -S "$(command -v cargo)" 2>/dev/null); then
		wants_lints=yes
	else
		echo "deps: this cargo has no fmt or clippy, make test will skip them (rustup component add rustfmt clippy)"
	fi
fi

if [ -z "$missing$wants_cargo$wants_lints" ]; then
	echo "deps: everything is here, cargo $have among it"
	exit 0
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		fail "root is needed to install:$missing${wants_cargo:+ a Rust toolchain}${wants_lints:+ cargo fmt and clippy}"
	as_root=sudo
fi
# needrestart, where it is installed, would restart services after an installation: l only lists them.
apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o Acquire::Retries=3 \
		-o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=120 "$@" </dev/null 2>&1
}

echo "deps: apt-get update"
# Error-Mode: without it, apt-get answers 0 although nothing could be reached. What is in its lists
# already may still do, so only the installation decides.
said=$(apt -o APT::Update::Error-Mode=any update) ||
	echo "deps: apt-get update failed: $(printf '%s\n' "$said" | grep '^[EW]:' | head -n 3)" >&2

if [ -n "$wants_cargo$wants_lints" ]; then
	if [ -n "$wants_cargo" ]; then
		compiler=$(family)
	else
		case $owner in cargo-web:*) compiler=rustc-web ;; *) compiler=rustc ;; esac
	fi
	case $compiler in
	rustc) missing="$missing rustc cargo rustfmt rust-clippy" ;;
	rustc-web) missing="$missing rustc-web cargo-web rustfmt-web rust-web-clippy" ;;
	*) fail "cargo is ${have:-not installed}, $oldest is needed, and this Debian has none that new: install it with rustup" ;;
	esac
fi

echo "deps: installing$missing"
# The word splitting is wanted: one word a package.
# shellcheck disable=SC2086
said=$(apt install -y --no-install-recommends $missing) ||
	fail "apt-get install failed: $(printf '%s\n' "$said" | grep '^[EW]:' | head -n 3)"
hash -r
now=$(version_of cargo)
[ -n "$now" ] && reaches "$now" "$oldest" || fail "cargo ${now:-(none)} is first on PATH, $oldest or newer is needed"
echo "deps: installed; cargo $now"
