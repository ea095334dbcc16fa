"""What a person or a document says in one word."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airgap.buckets.place import BucketPlace
from airgap.exporter.hooks import Hook
from airgap.format import names
from airgap.lists.renames import Substitution
from airgap.lists.semver import Range, Version
from airgap.lists.tags import Pattern
from airgap.naming.mapping import parse_target
from airgap.naming.renaming import parse_rules
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.places import Place
from airgap.oci.reference import Reference, Repository
from airgap.planning.attach import Wanted
from airgap.text import parse_least_rate, parse_size, printable
from airgap.trust.judge.hosts import Host
from airgap.trust.policy.demands import meets, read_demand, repository_of
from airgap.trust.policy.identity import SignedName, is_reference, is_remap_prefix
from airgap.trust.policy.unnamed import read_scope
from tests.support import parserseeds as seeds
from tests.support.parserrow import Parser, text
from tests.support.parserseeds import Grow, repeated


def rows() -> Iterator[Parser]:
    """What a person or a document says in one word."""
    long: dict[str, Grow] = {
        "letters": repeated("a"),
        "digits": repeated("1"),
        "dots": repeated("a."),
        "slashes": repeated("a/"),
        "dashes": repeated("a-"),
        "only dashes": repeated("-", b"a", b"/b"),
        "colons": repeated("a:"),
        "at": repeated("a@"),
        "blanks": repeated(" ", b"1"),
        "underscores": repeated("_", b"a", b"/b"),
        "bars": repeated("1||"),
        "commas": repeated("1,"),
        "backslashes": repeated("\\"),
        "brackets": repeated("["),
        "parentheses": repeated("("),
        "equals": repeated("="),
        "quotes": repeated("'"),
        "zeros": repeated("0"),
        "control characters": repeated("\x1b"),
        "beyond ASCII": repeated("€"),
    }
    words: dict[str, tuple[Callable[[str], object], tuple[bytes, ...], tuple[str, ...]]] = {
        "reference": (
            Reference.parse,
            (b"quay.io/a/b:1@" + seeds.digest(0).encode(), b"[::1]:5000/a__b"),
            ("oci.reference:Reference.parse",),
        ),
        "repository": (Repository.parse, (b"quay.io/a/b", b"DOCKER.io/a"), ("oci.reference:Repository.parse",)),
        "digest": (Digest.parse, (seeds.digest(0).encode(),), ("oci.digest:Digest.parse",)),
        "platform": (Platform.parse, (b"linux/arm/v7",), ("oci.descriptor:Platform.parse",)),
        "place": (Place.parse, (b"oci:dir:name", b"docker-archive:file@0", b"containers-storage:a"), ("oci.places:Place.parse",)),
        "bucket": (BucketPlace.parse, (b"s3://bucket/prefix/of", b"s3:/b"), ("buckets.place:BucketPlace.parse",)),
        "size": (parse_size, (b"4GiB", b"1.5 GB"), ("text:parse_size",)),
        "rate": (parse_least_rate, (b"10MB/s", b"0"), ("text:parse_rate", "text:parse_least_rate")),
        "stream": (names.check_stream, (b"prod-site",), ()),
        "volume size": (names.volume_size, (b"fat32", b"4GB"), ()),
        "version": (Version.parse, (b"v1.2.3-rc.1+b",), ("lists.semver:Version.parse",)),
        "range": (Range.parse, (b">=1.2 <2 || ^3", b"1.2 - 1.4"), ("lists.semver:Range.parse",)),
        "pattern": (Pattern.parse, (b"^v1\\.[0-9]+$", b"(a|b){3}"), ("lists.tags:Pattern.parse",)),
        "substitution": (lambda text: Substitution.parse(text, text), (b"(.*)", b"a\\1"), ("lists.renames:Substitution.parse",)),
        "target": (
            parse_target,
            (b"docker://a:5000/b", b"oci:dir", b"k3s:dir"),
            ("naming.mapping:parse_target", "naming.mapping:parse_store"),
        ),
        "mapping rule": (lambda text: parse_rules([text]), (b"prefix=docker.io=hub", b"image=a/b:1=c:2", b"regex=(.*)=\\1"), ()),
        "signed name": (
            SignedName.parse_canonical,
            (b"quay.io/a/b:1",),
            ("trust.policy.identity:SignedName.parse", "trust.policy.identity:SignedName.parse_canonical"),
        ),
        "name in a policy": (lambda text: (is_reference(text, complete=False), is_remap_prefix(text)), (b"quay.io/a",), ()),
        "demand of attestations": (
            lambda text: (read_demand(text), repository_of(text), meets("x:/*", f"x:/{text}")),
            (b"ghcr.io/acme=slsa,builder=https://b.example/@*,source=https://s.example/a", b"=false"),
            (
                "trust.policy.demands:read_demand",
                "trust.policy.demands:demand_of",
                "trust.policy.demands:repository_of",
                "trust.policy.demands:texts_of",
            ),
        ),
        "scope without names": (read_scope, (b"ghcr.io/acme=false", b"*.example"), ("trust.policy.unnamed:read_scope",)),
        "host": (Host.parse, (b"podman-5", b"skopeo-1.9.3"), ("trust.judge.hosts:Host.parse",)),
        "what to attach": (Wanted.parse, (b"quay.io/a/b:1::spdx=file",), ("planning.attach:Wanted.parse",)),
        "command": (Hook.parse, (b"sh -c 'a b'",), ("exporter.hooks:Hook.parse",)),
        "text for people": (printable, (b"a\x1b[31m",), ()),
    }
    for name, (parse, found, covers) in words.items():
        yield Parser(name, text(parse), found, long, tuple(f"airgap.{one}" for one in covers), most=1 << 20)
