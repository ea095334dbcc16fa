"""References, read as docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.hosts import canonical_host, flat_host, host_of_flat
from airgap.oci.reference import Reference, Repository

DIGEST = Digest.of(b"something")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("org/app", "docker.io/org/app:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1"),
        ("x:5000/y", "x:5000/y:latest"),
        ("Reg.Example:05000/x", "reg.example:5000/x:latest"),
        ("LOCALHOST/x", "localhost/x:latest"),
        ("DOCKER.IO/nginx", "docker.io/library/nginx:latest"),
        ("Index.Docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("registry-1.docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("registry-1.docker.io:443/nginx:1", "docker.io/library/nginx:1"),
        ("[0:0:0:0:0:0:0:1]:5000/x:1", "[::1]:5000/x:1"),
        ("[FE80::0A]/x:1", "[fe80::a]/x:1"),
        ("quay.io:443/x:1", "quay.io:443/x:1"),
        ("a/b__c/d--e.f:T_-.", "docker.io/a/b__c/d--e.f:T_-."),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
    ],
)
def test_a_reference_is_expanded(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        " nginx",
        "nginx ",
        "docker.io/UPPER",
        "nginx:",
        "nginx:-x",
        "nginx:" + "x" * 129,
        "nginx@",
        "nginx@sha256:12",
        "nginx@md5:" + "0" * 32,
        f"nginx@{DIGEST.upper()}",
        f"nginx@{DIGEST}@{DIGEST}",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        "a/./b",
        "..",
        "ghcr.io/",
        "ghcr.io:port/x",
        "ghcr.io:123456/x",
        "-x.io/y",
        "x-.io/y",
        "a_-b",
        "a..b/c",
        "x/\u00e9",
        "x\n",
        "x\0",
        "https://ghcr.io/x",
        "x.io/" + "a/" * 130 + "a",
        "x.io/y:t\u0661",
        "UPPER/x",  # a host to docker, and yet read back it would be docker.io/upper/x
        "ghcr.io./x",
        "ghcr.io:/x",
        "ghcr.io:0/x",
        "ghcr.io:65536/x",
        "127.000.0.1/x",
        "[::1::2]/x",
    ],
)
def test_what_is_no_reference_is_a_mistake_of_the_user(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert caught.value.expected


component = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
hosts = st.from_regex(
    r"([a-z0-9]{1,5}\.[a-zA-Z0-9]{1,5}(:[0-9]{1,5})?|localhost(:[0-9]{1,5})?|\[[0-9a-f:]{2,9}\](:[0-9]{1,5})?)", fullmatch=True
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.binary(max_size=4).map(Digest.of) | st.binary(max_size=4).map(lambda data: Digest.of(data, "sha512"))


@settings(max_examples=60, deadline=None)
@given(hosts, st.lists(component, min_size=1, max_size=4), st.none() | tags, st.none() | digests)
def test_a_written_reference_reads_as_itself(host: str, path: list[str], tag: str | None, digest: Digest | None) -> None:
    text = f"{host}/{'/'.join(path)}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"
    try:
        canonical = canonical_host(host)
    except UsageError:
        with pytest.raises(UsageError):
            Reference.parse(text)
        return
    reference = Reference.parse(text)
    assert reference.repository.host == canonical == canonical_host(canonical)
    assert (reference.tag, reference.digest) == (tag if tag or digest else "latest", digest)
    assert Reference.parse(str(reference)) == reference


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="aZ0.:/@-_[]\n ~", max_size=30))
def test_anything_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(reference)) == reference


def test_the_parts_that_the_flows_use() -> None:
    reference = Reference.parse(f"localhost:5000/a:1@{DIGEST}")
    assert reference.selector == DIGEST
    assert Reference.parse("a:1").selector == "1"
    assert str(reference.at(DIGEST)) == f"localhost:5000/a@{DIGEST}"
    assert reference.repository.flat_host == "localhost-5000"
    assert Repository("[::1]:5000", "a").flat_host == "ip6.0__1-5000"
    assert str(reference.moved(Repository("h.io", "b"))) == f"h.io/b:1@{DIGEST}"


@pytest.mark.parametrize(
    ("host", "path"),
    [("QUAY.IO", "x"), ("index.docker.io", "library/x"), ("registry-1.docker.io", "library/x"), ("docker.io", "x"), ("reg", "x"),
     ("reg:05000", "x"), ("[::0:1]", "x"), ("quay.io.", "x")],
)  # fmt: skip
def test_a_repository_in_another_spelling_cannot_be_made(host: str, path: str) -> None:
    with pytest.raises(UsageError):
        Repository(host, path)


@settings(max_examples=100, deadline=None)
@given(hosts)
def test_a_flat_host_is_read_as_another_one_only_where_the_map_refuses_it(host: str) -> None:
    try:
        canonical = canonical_host(host)
    except UsageError:
        return
    known = host_of_flat(flat_host(canonical))
    assert known in (canonical, None) or flat_host(known) == flat_host(canonical)
    assert (known == canonical) or ":" in canonical.rpartition("]")[0] or flat_host(canonical).rpartition("-")[2].isdigit()
