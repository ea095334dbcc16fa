"""Which blocks of the README and of the reference pages a test runs, what is there before each, and why the others are not run.

A block is named by its page and the beginning of its first line. The pages speak of places and hosts that a test cannot have: they
stand for others below the home directory and on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.pages import ROOT

#: What the pages say one has: a registry as the internet, one at the site, keys, a policy, a list, media.
WORLD = """
export AIRGAP_KEY_PASSPHRASE=secret
mkdir -p .config/containers mnt/usb media srv etc/airgap etc/pki out
printf '[[registry]]\\nprefix = "docker.io"\\nlocation = "127.0.0.1:5001"\\ninsecure = true\\n' > .config/containers/registries.conf
airgap docs --out airgap-docs
for port in 5001 5005; do
  printf 'version: 0.1\\nstorage: {filesystem: {rootdirectory: registry-%s}, delete: {enabled: true}}\\n' $port > $port.yml
  printf 'http: {addr: "127.0.0.1:%s"}\\n' $port >> $port.yml
  docker-registry serve $port.yml > $port.log 2>&1 &
done
curl -sf --retry 100 --retry-delay 1 --retry-connrefused http://127.0.0.1:5001/v2/ http://127.0.0.1:5005/v2/
for one in shop/web:1.0=nginx:1.27 shop/api:2.1=redis:7; do
  skopeo --insecure-policy copy -q --all --dest-tls-verify=false "oci:airgap-docs/samples/layout:localhost:5000/${one%=*}" \\
    "docker://127.0.0.1:5001/library/${one#*=}"
done
echo docker.io/library/nginx:1.27 > images.txt
airgap keys generate --out keys
cp keys/airgap.key keys/airgap.pub .
airgap policy init --public-key airgap.pub -o policy.json
"""  # fmt: skip

_EXPORT = "airgap export images.txt --stream prod-site --key airgap.key"
_SEVENTH = f"{_EXPORT} --out out --serial 7"
_LOADED = f"""
{_EXPORT} --out mnt/usb --serial 6
echo docker.io/library/redis:7 >> images.txt
{_EXPORT} --out mnt/usb --serial 7
airgap import mnt/usb --to docker://registry.site:5000/mirror --policy policy.json
"""
_TAKEN = f"{_EXPORT} --out mnt/usb; airgap import mnt/usb --to docker://registry.site:5000/mirror --policy policy.json"
_SITE_KEY = (
    "airgap keys generate --out site-keys; cp site-keys/airgap.pub site.pub; cp site.pub etc/pki/site.pub; touch etc/pki/site.crt"
)

#: Commands that are run before a block.
RUN = {
    ("README.md", "echo docker.io/library/nginx"): "rm images.txt policy.json airgap.*; rm -r keys",
    ("README.md", "cd /mnt/usb/prod-site-0001"): "",
    ("README.md", "airgap policy init"): "cd ~; cp keys/airgap.pub .",
    (
        "docs/custody.md",
        "airgap media log",
    ): f"{_SEVENTH} --volume-size 50kB; mkdir media/usb1 media/usb2; cp -r out/* media/usb1; cp -r out/* media/usb2",
    ("docs/custody.md", "airgap media log /media/usb1 /media/usb2 --show"): "",
    ("docs/gates.md", "airgap export images.txt"): "",
    ("docs/incremental.md", "airgap export images.txt"): "ln -s ../mnt/usb/prod-site-0001 srv/",
    ("docs/json.md", "airgap import /mnt/usb"): f"{_EXPORT} --out mnt/usb",
    ("docs/life.md", "airgap history --generations"): _LOADED,
    ("docs/life.md", "airgap prune"): "",
    ("docs/life.md", "airgap rollback"): "",
    ("docs/media.md", "airgap media copy"): f"{_SEVENTH} --volume-size 50kB; mkdir -p media/usb1 media/usb2 stage/1 stage/2",
    ("docs/merge.md", "airgap merge out/prod-site-0001 out"): f"for one in 1 2 3; do {_EXPORT} --out out --serial $one; done",
    ("docs/merge.md", "airgap merge out/prod-site-0002 out"): "",
    (
        "docs/pulling.md",
        "airgap mirror-config --to docker://registry.site:5000/mirror --format containerd",
    ): f"{_TAKEN}; {_SITE_KEY}",
    ("docs/pulling.md", "airgap mirror-config --to docker://registry.site:5000/mirror --format crio"): "rm -r hosts",
    ("docs/report.md", "airgap report"): f"{_EXPORT} --out srv/out --serial 8",
    ("docs/targets.md", "airgap import /mnt/usb --to docker"): f"{_EXPORT} --out mnt/usb",
}

_CLUSTER, _OUTPUT, _PLACE = "needs a cluster", "is no command", "is a part of a command, or has a placeholder"
_NETWORK, _ELSEWHERE = "needs the internet", "is run as a whole by"
#: Why a block is not run.
NOT_RUN = {
    ("README.md", "scripts/demo"): "the gate and test_documents_run run these",
    ("README.md", "pipx install"): _NETWORK,
    ("README.md", "sudo apt-get"): _NETWORK,
    ("README.md", "sudo python3"): _NETWORK,
    ("docs/architecture.md", "command line"): _OUTPUT,
    ("docs/benchmark.md", "scripts/bench"): "takes an hour; test_main_job and others run scripts/bench",
    ("docs/discover.md", "airgap discover deploy/"): "needs helm and kustomize; the tutorial of the exporter runs discover",
    ("docs/discover.md", "# 3 images"): _OUTPUT,
    ("docs/gates.md", "airgap export ... --gate"): _PLACE,
    ("docs/gates.md", "# trivy"): _PLACE,
    ("docs/gates.md", "airgap export ... --attach"): _PLACE,
    ("docs/machines.md", "pip install 'airgap-bundles[s3]'"): f"{_NETWORK}; {_ELSEWHERE} test_buckets with a server of its own",
    ("docs/machines.md", "pip install 'airgap-bundles[dask]'"): f"{_NETWORK}; {_ELSEWHERE} test_machines with a cluster of its own",
    ("docs/media.md", "airgap media check /media/usb1"): f"a disk is away; {_ELSEWHERE} tutorials/carrying.md",
    ("docs/media.md", "airgap: error"): _OUTPUT,
    ("docs/media.md", "airgap export images.txt --out /srv/out"): f"a disk is lost in the middle; {_ELSEWHERE} howto/lost-disk.md",
    ("docs/media.md", "airgap media repair /media/*"): f"a disk is lost in the middle; {_ELSEWHERE} howto/lost-disk.md",
    ("docs/media.md", "airgap keys generate"): f"a key travels in the middle; {_ELSEWHERE} howto/encrypted.md",
    ("docs/performance.md", "scripts/bench far"): "compares with another checkout",
    ("docs/performance.md", "scripts/bench bare"): "compares with another checkout",
    ("docs/performance.md", "scripts/bench small"): "compares with another checkout",
    ("docs/performance.md", "scripts/bench scale"): "compares with another checkout",
    ("docs/policy.md", "airgap policy init --public-key /etc/airgap/airgap.pub -o"): f"{_ELSEWHERE} test_policy_documented",
    ("docs/policy.md", "airgap policy init --public-key /etc/airgap/airgap.pub --image"): f"{_ELSEWHERE} test_policy_documented",
    ("docs/policy.md", "airgap policy init --public-key /etc/airgap/alice.pub"): f"{_ELSEWHERE} test_policy_documented",
    ("docs/policy.md", "unnamed "): _OUTPUT,
    ("docs/policy.md", "attested "): _OUTPUT,
    ("docs/pulling.md", "gpg --quick-generate-key"): f"{_PLACE}; {_ELSEWHERE} test_site_signing",
    ("docs/pulling.md", "warning "): _OUTPUT,
    ("docs/pulling.md", "airgap mirror-config --to docker://registry.site:5000/mirror --format kyverno"): _CLUSTER,
    ("docs/pulling.md", "airgap mirror-config --to docker://registry.site:5000/mirror --format policy-controller"): _CLUSTER,
    ("docs/pulling.md", "airgap mirror-config --to docker://registry.site:5000/mirror --format openshift"): _CLUSTER,
    ("docs/pulling.md", "skopeo --policy"): f"needs the registry's real name; {_ELSEWHERE} test_mirror_pull",
    ("docs/receipts.md", "airgap receipt"): f"{_PLACE}; {_ELSEWHERE} test_receipts",
    ("docs/receipts.md", '{"repositories"'): _OUTPUT,
    ("docs/receipts.md", "openssl base64"): f"{_PLACE}; {_ELSEWHERE} test_stock_signatures",
    ("docs/registries.md", "airgap login"): f"asks for a password; {_ELSEWHERE} test_login",
    ("docs/registries.md", "~/.config"): _OUTPUT,
    ("docs/registries.md", "[[registry]]"): _OUTPUT,
    ("docs/serve.md", "airgap serve"): f"does not end by itself; {_ELSEWHERE} test_serve_command",
    ("docs/serve.md", "curl -fO"): f"needs the site's name; {_ELSEWHERE} test_serve_files",
    ("docs/sources.md", "# images.txt"): _OUTPUT,
    ("docs/sources.md", "helm install"): f"{_CLUSTER}; {_ELSEWHERE} test_charts_with_helm",
    ("docs/sources.md", "airgap get"): f"{_ELSEWHERE} test_artifacts",
    ("docs/targets.md", "airgap import /mnt/usb --to oci-archive"): f"needs containerd; {_ELSEWHERE} test_archives_containerd",
    ("docs/targets.md", "rule "): _OUTPUT,
    ("docs/targets.md", "airgap-sha256-HEX"): _OUTPUT,
    ("docs/terminal.md", "fetching"): _OUTPUT,
    ("docs/terminal.md", "airgap: resolving"): _OUTPUT,
    (
        "docs/together.md",
        "airgap: waiting for airgap import (process 4711 on gate-1, since 2026-11-30T01:02:03Z), which is",
    ): _OUTPUT,
    (
        "docs/together.md",
        "airgap: waiting for airgap import (process 4711 on gate-1, since 2026-11-30T01:02:03Z), which uses",
    ): _OUTPUT,
    ("docs/toolkit.md", "airgap toolkit --out /mnt/usb/airgap"): f"{_NETWORK}; {_ELSEWHERE} test_toolkit",
    ("docs/toolkit.md", "airgap toolkit --out /mnt/usb/prod-site"): f"disks travel in the middle; {_ELSEWHERE} test_checker",
    ("docs/trustedroots.md", "site$"): f"{_NETWORK}; {_ELSEWHERE} test_trusted_roots",
    ("docs/watch.md", "airgap watch"): f"does not end by itself; {_ELSEWHERE} howto/diode.md",
    ("docs/watch.md", "useradd"): f"needs systemd as init; {_ELSEWHERE} test_systemd_units",
}

_FENCE = re.compile(r" *```(\w*)")
_INDENTED = re.compile(r"    (?:airgap (?=\w+ (?:log|-|/|\w+\.txt))|pip install|dask )")
_PLACES = re.compile(r"(?<![\w/.~])/(?=(?:mnt|media|srv|etc/airgap|etc/pki)/)")


@dataclass(frozen=True)
class Block:
    """A block of a page without a language: commands, or what a program prints."""

    page: str
    text: str

    def named(self, names: dict[tuple[str, str], str]) -> str | None:
        """What a table has for it: the entry with the longest beginning."""
        fitting = [key for key in names if key[0] == self.page and self.text.startswith(key[1])]
        return names[max(fitting, key=lambda key: len(key[1]))] if fitting else None


def all_blocks() -> Iterator[Block]:
    """Those of the README and of every page directly in docs/."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for text in _texts(path.read_text().splitlines()):
            yield Block(path.relative_to(ROOT).as_posix(), text)


def _texts(lines: Iterable[str]) -> Iterator[str]:
    """What stands between fences without a language, and indented commands."""
    found: list[str] = []
    fence, kept = "", False
    for line in (*lines, ""):
        mark = _FENCE.fullmatch(line)
        if mark and not fence:
            fence, kept = "fenced", not mark[1]
        elif not fence and _INDENTED.match(line):
            fence, kept, found = "indented", True, [line.strip()]
        elif (mark and fence == "fenced") or (fence == "indented" and not line.startswith("    ")):
            if kept:
                yield "\n".join(found)
            fence, found = "", []
        elif fence:
            found.append(line.strip() if fence == "indented" else line)


def script(page: str, home: Path) -> str:
    """The commands of a page that are run, each with what comes before it."""
    lines = [WORLD]
    for block in all_blocks():
        before = block.named(RUN)
        if block.page == page and before is not None:
            lines += [before, block.text]
    text = "\n".join(lines).replace("registry.site:5000", "127.0.0.1:5005").replace("TARGET", "oci:store")
    return _PLACES.sub(f"{home}/", text)
