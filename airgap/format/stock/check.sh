#!/bin/sh
# Checks the files of an airgap bundle on this disk. Needs no key, no network and nothing installed but a POSIX shell and one
# of sha256sum, shasum, openssl or sha256.
#
#   sh check.sh             everything that SHA256SUMS lists must be here and undamaged
#   sh check.sh --subset    what is not here is on other disks
#
# Exit codes: 0 good, 2 cannot check, 4 damaged or incomplete.
# It proves that the files are those that SHA256SUMS lists. Who made them, only the signatures of the catalog prove.

LC_ALL=C
export LC_ALL
unset CDPATH
subset=no
case ${1-} in
  --subset) subset=yes ;;
  '') ;;
  *) echo "usage: sh check.sh [--subset]" >&2; exit 2 ;;
esac

# Only programs of this machine: one that lies on this disk is not run, even where PATH has the current directory.
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

cd -- "$(dirname -- "$0")" || exit 2

if [ -h SHA256SUMS ] || [ ! -f SHA256SUMS ]; then
  echo "SHA256SUMS is not here: there is nothing to check against. Copy it again from the original." >&2
  exit 2
fi

if command -v sha256sum >/dev/null 2>&1; then
  digest() { sha256sum <"$1"; }
elif command -v shasum >/dev/null 2>&1; then
  digest() { shasum -a 256 <"$1"; }
elif command -v openssl >/dev/null 2>&1; then
  digest() { openssl dgst -sha256 -r <"$1"; }
elif command -v sha256 >/dev/null 2>&1; then
  digest() { sha256 -q <"$1"; }
else
  echo "none of sha256sum, shasum, openssl and sha256 is installed here: use another machine." >&2
  exit 2
fi

# Which disk this is and where the other files are, when the bundle was spread over several. DISKS.txt has the lines
# "This disk: B" and "disk A: NAME NAME ...", and ends lines as Windows does.
own='' total=0 disks=''
cr=$(printf '\r')
if [ ! -h DISKS.txt ] && [ -f DISKS.txt ]; then
  while read -r word label names; do
    names=${names%"$cr"}
    case $word-$names in *[!A-Za-z0-9._\ -]*) continue ;; esac
    case $word-$label in
      This-disk:) own=$names ;;
      disk-[A-Z]: | disk-[A-Z][A-Z]:)
        disks="$disks  disk $label $names
"
        for name in $names; do
          case $name in volume-[0-9]*.tar) total=$((total + 1)) ;; esac
        done ;;
    esac
  done <DISKS.txt
fi
if [ "$total" -eq 0 ]; then
  while read -r sum name || [ -n "$sum" ]; do
    case $name in volume-[0-9]*.tar) total=$((total + 1)) ;; esac
  done <SHA256SUMS
fi
if [ -n "$own" ]; then take="take disk $own back"; else take="take this disk back"; fi

# "volume 3 of 7 (volume-0003.tar)"
title() {
  number=${1#*-}
  number=${number%%.*}
  while [ "${number#0}" != "$number" ]; do number=${number#0}; done
  case $1 in
    volume-[0-9]*.tar) echo "volume $number of $total ($1)" ;;
    parity-[0-9]*.bin) echo "parity file $number ($1)" ;;
    *) echo "$1" ;;
  esac
}

good=0 bad=0 missing=0
while read -r sum name || [ -n "$sum" ]; do
  case $name in
    '' | -* | .* | *[!A-Za-z0-9._-]*)
      echo "DAMAGED    SHA256SUMS has a line that is not one of ours: $take"
      bad=$((bad + 1))
      continue ;;
  esac
  if [ ! -e "$name" ] && [ ! -h "$name" ]; then
    if [ "$subset" = yes ]; then
      echo "elsewhere  $(title "$name")"
    else
      echo "MISSING    $(title "$name") is not on this disk"
    fi
    missing=$((missing + 1))
    continue
  fi
  if [ -h "$name" ] || [ ! -f "$name" ]; then
    echo "DAMAGED    $(title "$name") is not a file: $take"
    bad=$((bad + 1))
    continue
  fi
  found=$(digest "$name" 2>/dev/null)
  found=${found%% *}
  if [ "$found" = "$sum" ]; then
    echo "good       $(title "$name")"
    good=$((good + 1))
  else
    echo "DAMAGED    $(title "$name") is damaged: $take"
    bad=$((bad + 1))
  fi
done <SHA256SUMS

for name in volume-[0-9]*.tar parity-[0-9]*.bin; do
  if [ -e "$name" ] || [ -h "$name" ]; then
    known=no
    while read -r sum line; do
      if [ "$line" = "$name" ]; then known=yes; fi
    done <SHA256SUMS
    if [ "$known" = no ]; then
      echo "FOREIGN    $name does not belong here: move it away"
      bad=$((bad + 1))
    fi
  fi
done

echo
if [ -n "$disks" ]; then printf 'This is disk %s of these:\n%s' "$own" "$disks"; fi
if [ "$bad" -gt 0 ]; then
  echo "NOT GOOD: $bad damaged, $missing missing, $good good. Copy the damaged files again from the original, nothing else."
  exit 4
fi
if [ "$missing" -gt 0 ] && [ "$subset" = no ]; then
  echo "INCOMPLETE: $missing missing, $good good. If the others are on other disks, this is fine: sh check.sh --subset"
  exit 4
fi
if [ "$good" -eq 0 ]; then
  echo "NOT GOOD: nothing of the bundle is here."
  exit 4
fi
echo "GOOD: everything that is on this disk is undamaged ($good files)."
exit 0
