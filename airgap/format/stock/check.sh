#!/bin/sh
# Checks the files of an airgap bundle on this disk. Needs no key, no network and nothing installed but a POSIX shell and one
# of sha256sum, shasum, openssl or sha256.
#
#   sh check.sh             everything that SHA256SUMS lists must be here and undamaged
#   sh check.sh --subset    what is not here is on other disks
#   --lang zh, --lang en    in Chinese or in English; by default in the language of this machine
#
# Exit codes: 0 good, 2 cannot check, 4 damaged or incomplete.
# It proves that the files are those that SHA256SUMS lists. Who made them, only the signatures of the catalog prove.

lang=en
case ${LC_ALL:-${LC_MESSAGES:-${LANG-}}} in zh*[Uu][Tt][Ff]8 | zh*[Uu][Tt][Ff]-8) lang=zh ;; esac
LC_ALL=C
export LC_ALL
unset CDPATH
subset=no
usage="usage: sh check.sh [--subset] [--lang en|zh]"
while [ $# -gt 0 ]; do
  case $1 in
    --subset) subset=yes ;;
    --lang=en | --lang=zh) lang=${1#*=} ;;
    --lang)
      case ${2-} in en | zh) lang=$2 ;; *) echo "$usage" >&2; exit 2 ;; esac
      shift ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift
done

# What is said, with %s for names and numbers.
if [ "$lang" = zh ]; then
  no_sums='这里没有 SHA256SUMS，无从核对。请从原件重新复制它。'
  no_tool='这台机器上没有 sha256sum、shasum、openssl 或 sha256：请换一台机器。'
  take_disk='请把 %s 盘带回' take_this='请把这块盘带回'
  volume='第 %s 卷，共 %s 卷（%s）' parity='校验文件 %s（%s）'
  foreign_line='损坏   SHA256SUMS 中有一行不是我们写的：%s' elsewhere='在别处 %s' absent='缺少   %s 不在这块盘上'
  no_file='损坏   %s 不是文件：%s' intact='完好   %s' broken='损坏   %s 已损坏：%s' foreign='多余   %s 不属于这里：请移走'
  this_disk='这是 %s 盘，全部磁盘如下：'
  not_good='有问题：损坏 %s 个，缺少 %s 个，完好 %s 个。只需从原件重新复制损坏的文件。'
  incomplete='不完整：缺少 %s 个，完好 %s 个。如果其余文件在别的磁盘上，这是正常的：sh check.sh --subset'
  nothing='有问题：这里没有数据包的任何文件。' all_good='完好：这块盘上的全部内容没有损坏（%s 个文件）。'
else
  no_sums='SHA256SUMS is not here: there is nothing to check against. Copy it again from the original.'
  no_tool='none of sha256sum, shasum, openssl and sha256 is installed here: use another machine.'
  take_disk='take disk %s back' take_this='take this disk back'
  volume='volume %s of %s (%s)' parity='parity file %s (%s)'
  foreign_line='DAMAGED    SHA256SUMS has a line that is not one of ours: %s' elsewhere='elsewhere  %s'
  absent='MISSING    %s is not on this disk' no_file='DAMAGED    %s is not a file: %s' intact='good       %s'
  broken='DAMAGED    %s is damaged: %s' foreign='FOREIGN    %s does not belong here: move it away'
  this_disk='This is disk %s of these:'
  not_good='NOT GOOD: %s damaged, %s missing, %s good. Copy the damaged files again from the original, nothing else.'
  incomplete='INCOMPLETE: %s missing, %s good. If the others are on other disks, this is fine: sh check.sh --subset'
  nothing='NOT GOOD: nothing of the bundle is here.' all_good='GOOD: everything that is on this disk is undamaged (%s files).'
fi
# say FORMAT [VALUE...]: one line. The formats are those above, never a name from the disk.
say() {
  format=$1
  shift
  printf "$format\n" "$@"
}

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
  say "$no_sums" >&2
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
  say "$no_tool" >&2
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
if [ -n "$own" ]; then take=$(say "$take_disk" "$own"); else take=$take_this; fi

# "volume 3 of 7 (volume-0003.tar)"
title() {
  number=${1#*-}
  number=${number%%.*}
  while [ "${number#0}" != "$number" ]; do number=${number#0}; done
  case $1 in
    volume-[0-9]*.tar) say "$volume" "$number" "$total" "$1" ;;
    parity-[0-9]*.bin) say "$parity" "$number" "$1" ;;
    *) echo "$1" ;;
  esac
}

good=0 bad=0 missing=0
while read -r sum name || [ -n "$sum" ]; do
  case $name in
    '' | -* | .* | *[!A-Za-z0-9._-]*)
      say "$foreign_line" "$take"
      bad=$((bad + 1))
      continue ;;
  esac
  if [ ! -e "$name" ] && [ ! -h "$name" ]; then
    if [ "$subset" = yes ]; then
      say "$elsewhere" "$(title "$name")"
    else
      say "$absent" "$(title "$name")"
    fi
    missing=$((missing + 1))
    continue
  fi
  if [ -h "$name" ] || [ ! -f "$name" ]; then
    say "$no_file" "$(title "$name")" "$take"
    bad=$((bad + 1))
    continue
  fi
  found=$(digest "$name" 2>/dev/null)
  found=${found%% *}
  if [ "$found" = "$sum" ]; then
    say "$intact" "$(title "$name")"
    good=$((good + 1))
  else
    say "$broken" "$(title "$name")" "$take"
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
      say "$foreign" "$name"
      bad=$((bad + 1))
    fi
  fi
done

echo
if [ -n "$disks" ]; then
  say "$this_disk" "$own"
  printf '%s' "$disks"
fi
if [ "$bad" -gt 0 ]; then
  say "$not_good" "$bad" "$missing" "$good"
  exit 4
fi
if [ "$missing" -gt 0 ] && [ "$subset" = no ]; then
  say "$incomplete" "$missing" "$good"
  exit 4
fi
if [ "$good" -eq 0 ]; then
  say "$nothing"
  exit 4
fi
say "$all_good" "$good"
exit 0
