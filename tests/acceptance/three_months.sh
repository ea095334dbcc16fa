#!/usr/bin/env bash
# Three months in three roles, as typed: two commands a month for the exporter, for whoever carries the disks, and for the site.
# Run in a directory with exporter/ and site/ (an airgap.toml in each), upstream/1 to 3, disks/a and disks/b.
set -euo pipefail

export_month() { # MONTH: upstream moves its tag, the list grows; all else is in airgap.toml
  ln -sfn "../upstream/$1" exporter/store
  echo "oci:store:docker.io/shop/tool:$1" >>exporter/images.txt
  (cd exporter; airgap plan prod-site; airgap export prod-site)
}

carry() { # MONTH: on two disks
  rm -rf disks/a/* disks/b/*
  airgap media copy "exporter/out/prod-site-000$1" disks/a disks/b --media 2x5200kB
  airgap media check disks/a disks/b
}

arrive() { # take what is there, heal it if need be, and say what the site has now
  (cd site; airgap watch ../disks --once; airgap receipt)
}

(cd site; airgap receipt) # of a registry with nothing in it
export_month 1; carry 1; arrive

export_month 2; carry 2
printf scratched | dd of="$(find disks/a -name 'volume-*.tar' | sort | tail -1)" bs=1 seek=4096 conv=notrunc status=none
arrive

export_month 3; carry 3
rm -rf disks/b/* # left on the train
arrive

cd site
airgap rollback --stream prod-site --serial 2 # month 3 was a mistake
airgap rollback --stream prod-site --serial 3 # no, it was not
airgap prune --keep 2 --plan prune.json
airgap prune --apply prune.json
airgap history
