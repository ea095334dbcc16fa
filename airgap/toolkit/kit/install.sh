#!/bin/sh
# Installs airgap from this directory, without a network: sh install.sh [--standalone] [DIR]
#
# Checks first that this directory holds the files that SHA256SUMS names, unchanged, and nothing else. Then it makes a virtual
# environment in DIR (default: ~/airgap) and installs into it what the requirements file for this machine names, by its hashes. Uses
# python3, or what the variable PYTHON names; no file of this directory is run or imported unchecked. Changes nothing outside DIR.
#
# With --standalone it needs no Python: of this directory it reads only SHA256SUMS and the build with the interpreter inside, whose copy
# it checks and unpacks into DIR.
set -eu
LC_ALL=C
export LC_ALL
unset CDPATH
umask go-w

fail() {
  code=$1
  shift
  printf 'install.sh: error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit "$code"
}

# A program of this directory must not be found instead of the system's.
set -f
ifs=$IFS
IFS=:
path=
for place in $PATH; do
  case $place in /*) path=$path${path:+:}$place ;; esac
done
IFS=$ifs
set +f
PATH=$path

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
standalone=
if [ "${1:-}" = --standalone ]; then
  standalone=yes
  shift
fi
target=${1:-${HOME:?name a directory}/airgap}
case $target in
  -*) fail 2 "unknown option: $target" "expected: sh install.sh [--standalone] [DIR]" ;;
  /*) ;;
  *) target=$(pwd)/$target ;;
esac
if [ -e "$target" ] && { [ "$standalone" ] || [ ! -f "$target/pyvenv.cfg" ]; }; then
  fail 2 "$target is something else" "next: name a new directory: sh install.sh DIR"
fi

work=$(mktemp -d)
made=
trap 'rm -rf -- "$work" ${made:+"$made"}' EXIT
trap 'exit 130' HUP INT TERM

again="next: copy the toolkit again from the original, to a directory of its own"

# copy NAME SIZE COPY: what is checked is the copy, and only that is used; no more than SIZE bytes of it.
copy() {
  [ -f "$here/$1" ] && [ ! -h "$here/$1" ] && head -c "$2" <"$here/$1" >"$work/$3" || fail 4 "a file of this toolkit is damaged or missing" "got: $1" "$again"
}

install_standalone() {
  machine=$(uname -m)
  name=
  copy SHA256SUMS 1048576 sums
  while IFS= read -r line; do
    case $line in
      *"  airgap-"*"-linux-$machine-standalone.tar.gz")
        [ -z "$name" ] || fail 4 "SHA256SUMS names two standalone builds for this machine" "$again"
        sum=${line%%  *}
        name=${line#*  }
        ;;
    esac
  done <"$work/sums"
  [ "$name" ] || fail 2 "this toolkit has no standalone build for this machine" "got: $machine" \
    "next: make it again on the connected side: airgap toolkit --standalone airgap-VERSION-linux-$machine-standalone.tar.gz ..."
  case $name in
    *[!A-Za-z0-9._+-]*) fail 4 "SHA256SUMS has a line that is not one of ours" "$again" ;;
  esac
  copy "$name" 1073741824 build.tar.gz
  found=$(sha256sum <"$work/build.tar.gz")
  [ "${found%% *}" = "$sum" ] || fail 4 "a file of this toolkit is damaged or missing" "got: $name" "see: sha256sum -c SHA256SUMS" "$again"
  mkdir -p -- "$target"
  made=$target
  tar -xzof "$work/build.tar.gz" -C "$target" || fail 6 "the standalone build could not be unpacked"
  mkdir -- "$target/bin"
  ln -s "../${name%.tar.gz}/airgap" "$target/bin/airgap"
  ln -s "${name%.tar.gz}/_internal/share" "$target/share"
  "$target/bin/airgap" --version >/dev/null || fail 1 "airgap does not start; see above" \
    "next: if the C library of this machine is too old for it, install Python 3.11 and run: sh install.sh DIR"
  made=
}

if [ "$standalone" ]; then
  install_standalone
  printf 'installed: %s\n' "$target/bin/airgap"
  exit 0
fi

python=$(command -v "${PYTHON:-python3}") ||
  fail 2 "there is no ${PYTHON:-python3}" "next: install Python, or name it: PYTHON=/path/to/python3 sh install.sh" \
    "or: sh install.sh --standalone DIR, if this toolkit has a standalone build"

# Isolated, so that no module lying here is imported. What is run or read later is copied to a place of its own as it is checked.
"$python" -I - "$here" "$work" <<'END' || exit
import hashlib, os, platform, re, stat, sys, sysconfig

here, work = sys.argv[1:]


def fail(code, *lines):
    sys.stderr.write("install.sh: error: %s\n%s" % (lines[0], "".join("  %s\n" % line for line in lines[1:])))
    sys.exit(code)


def damaged(what, *lines):
    fail(4, what, *(lines + ("next: copy the toolkit again from the original, to a directory of its own",)))


def parts(name):
    descriptor = os.open(os.path.join(here, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        part = file.read(1 << 20)
        while part:
            yield part
            part = file.read(1 << 20)


try:
    listed = next(parts("SHA256SUMS"), b"")
except OSError:
    damaged("SHA256SUMS cannot be read")
sums = {}
for line in listed.split(b"\n")[:-1]:
    found = re.match(br"([0-9a-f]{64})  ((?:wheels/)?[A-Za-z0-9_][A-Za-z0-9_.+-]*)\Z", line)
    name = found.group(2).decode() if found else ""
    if not found or name in sums or name == "SHA256SUMS":
        damaged("SHA256SUMS has a line that is not one of ours, or one twice", "got: %a" % line[:200])
    sums[name] = found.group(1).decode()
if not sums or not listed.endswith(b"\n"):
    damaged("SHA256SUMS is cut short")

others = []
for root, folders, files in os.walk(here):
    for entry in folders + files:
        path = os.path.join(root, entry)
        name = os.path.relpath(path, here)
        if name not in sums and name != "SHA256SUMS" and (name != "wheels" or os.path.islink(path)):
            others.append(name)
if others:
    damaged("this directory has a file that SHA256SUMS does not name", "got: %s" % ", ".join(map(ascii, sorted(others)[:10])))

# what Python was built for tells which C library it has: x86_64-linux-gnu, x86_64-linux-musl
musl = "-musl" if "musl" in "%s %s" % (sysconfig.get_config_var("HOST_GNU_TYPE"), sysconfig.get_config_var("SOABI")) else ""
needed = "requirements-%d.%d-%s%s.txt" % (sys.version_info[0], sys.version_info[1], platform.machine(), musl)
pip = min([name for name in sums if re.match(r"wheels/pip-[^/]*\.whl\Z", name)] or [""])
copies = {needed: "requirements.txt", pip: "pip.whl"}
for name in sorted(sums):
    hasher = hashlib.sha256()
    try:
        with open(os.path.join(work, copies.get(name, "rest")), "wb") as copy:
            for part in parts(name):
                hasher.update(part)
                if name in copies:
                    copy.write(part)
    except OSError:
        hasher = hashlib.sha256(b"none")
    if hasher.hexdigest() != sums[name]:
        damaged("a file of this toolkit is damaged or missing", "got: %s" % name, "see: sha256sum -c SHA256SUMS")
if needed not in sums:
    have = " ".join(sorted(name[13:-4] for name in sums if name.startswith("requirements-")))
    alone = ["or: sh install.sh --standalone DIR"] if any(name.endswith("-standalone.tar.gz") for name in sums) else []
    fail(2, "this toolkit is not for this machine", "got: Python and machine %s" % needed[13:-4], "expected: one of %s" % have,
         "next: make it again on the connected side: airgap toolkit --platform ... --python ...", *alone)
if not pip:
    damaged("this toolkit has no pip")
END

"$python" -I -m venv --without-pip "$target" || fail 2 "the virtual environment could not be made" "next: install Python's module venv"
"$target/bin/python" -I "$work/pip.whl/pip" install --isolated --no-index --no-cache-dir --disable-pip-version-check --quiet --no-deps \
  --require-hashes --find-links "$here/wheels" --requirement "$work/requirements.txt" || fail 4 "pip could not install the packages; see above"
"$target/bin/python" -I "$target/bin/airgap" --version >/dev/null || fail 1 "airgap does not start"
printf 'installed: %s\n' "$target/bin/airgap"
