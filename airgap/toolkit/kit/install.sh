#!/bin/sh
# Installs airgap from this directory, without a network: sh install.sh [DIR]
#
# Checks first that this directory holds the files that SHA256SUMS names, unchanged, and nothing else. Then it makes a virtual
# environment in DIR (default: ~/airgap) and installs into it what the requirements file for this machine names, by its hashes. Uses
# python3, or what the variable PYTHON names; no file of this directory is run or imported unchecked. Changes nothing outside DIR.
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
target=${1:-${HOME:?name a directory}/airgap}
python=$(command -v "${PYTHON:-python3}") ||
  fail 2 "there is no ${PYTHON:-python3}" "next: install Python, or name it: PYTHON=/path/to/python3 sh install.sh"
case $target in
  /*) ;;
  *) target=$(pwd)/$target ;;
esac
if [ -e "$target" ] && [ ! -f "$target/pyvenv.cfg" ]; then
  fail 2 "$target is something else" "next: name a new directory: sh install.sh DIR"
fi

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' HUP INT TERM

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
    fail(2, "this toolkit is not for this machine", "got: Python and machine %s" % needed[13:-4], "expected: one of %s" % have,
         "next: make it again on the connected side: airgap toolkit --platform ... --python ...")
if not pip:
    damaged("this toolkit has no pip")
END

"$python" -I -m venv --without-pip "$target" || fail 2 "the virtual environment could not be made" "next: install Python's module venv"
"$target/bin/python" -I "$work/pip.whl/pip" install --isolated --no-index --no-cache-dir --disable-pip-version-check --quiet --no-deps \
  --require-hashes --find-links "$here/wheels" --requirement "$work/requirements.txt" || fail 4 "pip could not install the packages; see above"
"$target/bin/airgap" --version >/dev/null || fail 1 "airgap does not start"
printf 'installed: %s\n' "$target/bin/airgap"
