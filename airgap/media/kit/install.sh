#!/bin/sh
# Installs airgap from this directory, without a network: sh install.sh [DIR]
#
# Checks every file first, makes a virtual environment in DIR (default: ~/airgap) and installs into it what SHA256SUMS and the
# requirements files name, nothing else. Uses python3, or what the variable PYTHON names. Changes nothing outside DIR.
set -eu

fail() {
  code=$1
  shift
  printf 'install.sh: error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit "$code"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
target=${1:-${HOME:?name a directory}/airgap}
python=${PYTHON:-python3}

command -v "$python" >/dev/null 2>&1 || fail 2 "there is no $python" "next: install Python, or name it: PYTHON=/path/to/python3 sh install.sh"
case $target in
  /*) ;;
  *) target=$(pwd)/$target ;;
esac
if [ -e "$target" ] && [ ! -f "$target/pyvenv.cfg" ]; then
  fail 2 "$target is something else" "next: name a new directory: sh install.sh DIR"
fi

cd -- "$here"
if command -v sha256sum >/dev/null 2>&1; then
  sha256sum -c SHA256SUMS >/dev/null 2>&1 || bad=yes
else
  shasum -a 256 -c SHA256SUMS >/dev/null 2>&1 || bad=yes
fi
if [ "${bad:-}" = yes ]; then
  fail 4 "a file of this toolkit is damaged or missing" "see: sha256sum -c SHA256SUMS" "next: copy the toolkit again from the original"
fi

kind=$("$python" -c 'import platform, sys; print("%d.%d-%s" % (sys.version_info[0], sys.version_info[1], platform.machine()))')
needed=requirements-$kind.txt
if [ ! -f "$needed" ]; then
  have=$(for file in requirements-*.txt; do kind_of=${file#requirements-}; printf '%s ' "${kind_of%.txt}"; done)
  fail 2 "this toolkit is not for this machine" "got: Python and machine $kind" "expected: one of $have" \
    "next: make it anew on the connected side: airgap toolkit --platform ... --python ..."
fi

"$python" -m venv --without-pip "$target" || fail 2 "the virtual environment could not be made" "next: install Python's module venv"
set -- wheels/pip-*.whl
"$target/bin/python" "$1/pip" install --isolated --no-index --no-cache-dir --disable-pip-version-check --quiet --no-deps --require-hashes \
  --find-links wheels --requirement "$needed" || fail 4 "pip could not install the packages; see above"
"$target/bin/airgap" --version >/dev/null || fail 1 "airgap does not start"
printf 'installed: %s\n' "$target/bin/airgap"
