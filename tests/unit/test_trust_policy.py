"""policy.json parsing: what containers/image accepts and rejects, and our additions."""

from __future__ import annotations

import json

import pytest

from airgap.errors import UsageError
from airgap.limits import MAX_POLICY
from airgap.trust.policy import requirements as r
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.templates import PolicyKey, site_policy

REJECT = {"type": "reject"}
KEY = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.gpg"}
SIG = {"type": "sigstoreSigned", "keyPath": "/k.pub"}
FULCIO = {"caPath": "/ca", "oidcIssuer": "https://i", "subjectEmail": "a@b"}
PKI = {"caRootsPath": "/ca", "subjectEmail": "a@b"}


def with_requirement(requirement: object) -> bytes:
    return json.dumps({"default": [requirement]}).encode()


def with_scopes(transport: str, *scopes: str) -> bytes:
    return json.dumps({"default": [REJECT], "transports": {transport: {scope: [REJECT] for scope in scopes}}}).encode()


def signed_by(**fields: object) -> bytes:
    return with_requirement({"type": "signedBy", "keyType": "GPGKeys", **fields})


def sigstore(**fields: object) -> bytes:
    return with_requirement({"type": "sigstoreSigned", **fields})


def with_identity(identity: object) -> bytes:
    return with_requirement({**KEY, "signedIdentity": identity})


def remap(prefix: str, signed: str = "docker.io") -> bytes:
    return with_identity({"type": "remapIdentity", "prefix": prefix, "signedPrefix": signed})


DIGEST = "sha256:" + "0" * 64
BAD_TOP = {
    "1-empty": b"",
    "2-trailing-bytes": b'{"default":[{"type":"reject"}]} x',
    "2-trailing-object": b'{"default":[{"type":"reject"}]}{}',
    "3-no-default": b'{"transports":{}}',
    "4-default-empty": b'{"default":[]}',
    "4-default-object": b'{"default":{}}',
    "4-default-number": b'{"default":1}',
    "4-default-null": b'{"default":null}',
    "5-extra-key": b'{"default":[{"type":"reject"}],"extra":1}',
    "5-wrong-case": b'{"Default":[{"type":"reject"}]}',
    "6-duplicate-default": b'{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}',
    "6-duplicate-escaped": b'{"default":[{"type":"reject"}],"d\\u0065fault":[{"type":"insecureAcceptAnything"}]}',
    "6-duplicate-transports": b'{"default":[{"type":"reject"}],"transports":{},"transports":{}}',
    "7-transports-number": b'{"default":[{"type":"reject"}],"transports":1}',
    "7-transports-list": b'{"default":[{"type":"reject"}],"transports":[]}',
    "7-transports-null": b'{"default":[{"type":"reject"}],"transports":null}',
    "10-scope-number": b'{"default":[{"type":"reject"}],"transports":{"docker":{"x":1}}}',
    "10-scope-object": b'{"default":[{"type":"reject"}],"transports":{"docker":{"x":{}}}}',
    "10-scope-empty": b'{"default":[{"type":"reject"}],"transports":{"docker":{"x":[]}}}',
    "11-duplicate-scope": b'{"default":[{"type":"reject"}],"transports":{"a":{"x":[{"type":"reject"}],"x":[{"type":"reject"}]}}}',
    "11-duplicate-empty": b'{"default":[{"type":"reject"}],"transports":{"a":{"":[{"type":"reject"}],"":[{"type":"reject"}]}}}',
    "list": b"[]",
    "nan": b'{"default":NaN}',
    "deep": b'{"default":' + b"[" * 100_000,
    "bom": b'\xef\xbb\xbf{"default":[{"type":"reject"}]}',
    "too-large": b'{"default":[{"type":"reject"}]}' + b" " * MAX_POLICY,
    "unknown-transport-with-bad-requirement": b'{"default":[{"type":"reject"}],"transports":{"x":{"y":[{"type":"z"}]}}}',
}
BAD_SCOPES = {
    "12-docker-scope-under-dir": ("dir", "docker.io/library/busybox"),
    **{
        f"13-{transport}-{scope}": (transport, scope)
        for transport in ("dir", "oci", "oci-archive", "sif")
        for scope in ("/", "relative/path", "/double//slashes", "//double", "/has/./dot", "/has/dot/../dot", "/trailing/slash/")
    },
    "15-docker-archive": ("docker-archive", "docker.io/library/busybox:notlatest"),
    "15-tarball": ("tarball", "/x"),
    "16-docker-daemon-id": ("docker-daemon", DIGEST),
    "17-atomic-deep": ("atomic", "h/too/deep/hierarchy"),
    "17-atomic-two-tags": ("atomic", "h/ns/s:t1:t2"),
    **{
        f"18-storage-{i}": ("containers-storage", scope)
        for i, scope in enumerate(
            ("busybox", "[unterminated", "[]", "[relative/path]", "[@/x]", "[d@x]", "[/x]busybox@", "[/x]busybox@sha256:ab",
             "[/x]b@" + DIGEST + "@", "[/x]b@x@" + "0" * 64)
        )
    },
    **{
        f"airgap-{scope}": ("airgap", scope)
        for scope in ("Prod", "a/b", "-x", "x-", "a..b", "../x", "x" * 49, "a b", "ä")
    },
}  # fmt: skip
BAD_REQUIREMENTS = {
    "19-number": with_requirement(1),
    "19-null": with_requirement(None),
    "19-no-type": with_requirement({}),
    "19-unknown-type": with_requirement({"type": "this is invalid"}),
    "19-type-null": with_requirement({"type": None}),
    "19-type-case": with_requirement({"Type": "reject"}),
    "19-extra-field": with_requirement({"type": "reject", "foo": 1}),
    "19-extra-field-accept": with_requirement({"type": "insecureAcceptAnything", "keyPath": "/x"}),
    "20-no-key": signed_by(),
    "20-two-keys": signed_by(keyPath="/a", keyData="YWI="),
    "20-two-by-presence": signed_by(keyPath="/a", keyData=""),
    "20-three-keys": signed_by(keyPath="/a", keyPaths=["/b"], keyData="YWI="),
    "21-path-number": signed_by(keyPath=1),
    "21-path-null": signed_by(keyPath=None),
    "21-path-empty": signed_by(keyPath=""),
    "21-paths-numbers": signed_by(keyPaths=[1]),
    "21-paths-null": signed_by(keyPaths=None),
    "21-paths-text": signed_by(keyPaths="/a"),
    "21-data-not-base64": signed_by(keyData="this is invalid"),
    "21-data-unpadded": signed_by(keyData="YWI"),
    "21-data-url-alphabet": signed_by(keyData="-_-_"),
    "21-data-null": signed_by(keyData=None),
    "22-no-key-type": with_requirement({"type": "signedBy", "keyPath": "/a"}),
    "22-key-type-empty": with_requirement({"type": "signedBy", "keyType": "", "keyPath": "/a"}),
    "22-key-type-case": with_requirement({"type": "signedBy", "keyType": "gpgkeys", "keyPath": "/a"}),
    "23-identity-text": with_identity("matchExact"),
    "23-identity-null": with_identity(None),
    "23-identity-unknown": with_identity({"type": "matchAny"}),
    "23-identity-extra": with_identity({"type": "matchExact", "x": 1}),
    "25-exact-untagged": with_identity({"type": "exactReference", "dockerReference": "library/busybox"}),
    "25-exact-upper-case": with_identity({"type": "exactReference", "dockerReference": "UPPERCASE:1"}),
    "25-exact-empty": with_identity({"type": "exactReference", "dockerReference": ""}),
    "25-exact-missing": with_identity({"type": "exactReference"}),
    "25-repository-upper-case": with_identity({"type": "exactRepository", "dockerRepository": "UPPERCASE"}),
    "25-repository-image-id": with_identity({"type": "exactRepository", "dockerRepository": "a" * 64}),
    **{
        f"26-{i}": remap(prefix)
        for i, prefix in enumerate(
            ("", "example.com/", "example.com/UPPERCASEISINVALID", "example.com/repo:tag", f"example.com/repo@{DIGEST}",
             "repo_with_underscores", "example.com/a/", "/x")
        )
    },
    "26-signed-prefix": remap("example.com", "example.com/"),
    "28-no-signed-prefix": with_identity({"type": "remapIdentity", "prefix": "example.com"}),
    "29-no-key": sigstore(),
    "29-two-keys": sigstore(keyPath="/a", keyData="YWI="),
    "29-paths-empty": sigstore(keyPaths=[]),
    "29-datas-empty": sigstore(keyDatas=[]),
    "29-datas-not-base64": sigstore(keyDatas=["YWI=", "x"]),
    "29-path-empty": sigstore(keyPath=""),
    "29-fulcio-without-rekor": sigstore(fulcio=FULCIO),
    "29-fulcio-two-cas": sigstore(fulcio={**FULCIO, "caData": "YWI="}, rekorPublicKeyPath="/r"),
    "29-fulcio-no-email": sigstore(fulcio={"caPath": "/ca", "oidcIssuer": "i"}, rekorPublicKeyPath="/r"),
    "29-fulcio-extra": sigstore(fulcio={**FULCIO, "x": 1}, rekorPublicKeyPath="/r"),
    "29-fulcio-null": sigstore(fulcio=None, rekorPublicKeyPath="/r"),
    "29-pki-with-rekor": sigstore(pki=PKI, rekorPublicKeyPath="/r"),
    "29-pki-nobody": sigstore(pki={"caRootsPath": "/ca"}),
    "29-pki-two-intermediates": sigstore(pki={**PKI, "caIntermediatesPath": "/a", "caIntermediatesData": "YWI="}),
    "29-two-rekor": sigstore(keyPath="/a", rekorPublicKeyPath="/r", rekorPublicKeyData="YWI="),
    "29-rekor-empty-list": sigstore(keyPath="/a", rekorPublicKeyPaths=[]),
    "base-layer-without-identity": with_requirement({"type": "signedBaseLayer"}),
}  # fmt: skip


@pytest.mark.parametrize("raw", BAD_TOP.values(), ids=BAD_TOP)
def test_policy_with_a_mistake_at_the_top_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError):
        parse_policy(raw)


@pytest.mark.parametrize(("transport", "scope"), BAD_SCOPES.values(), ids=BAD_SCOPES)
def test_scope_that_can_never_match_is_refused_at_its_place(transport: str, scope: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(with_scopes(transport, scope), "p.json")
    assert caught.value.where.startswith(f"p.json: transports.{transport}[")


@pytest.mark.parametrize("raw", BAD_REQUIREMENTS.values(), ids=BAD_REQUIREMENTS)
def test_requirement_with_a_mistake_is_refused_at_its_place(raw: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(raw, "p.json")
    assert caught.value.where.startswith("p.json: default[0]")


def test_the_place_of_a_mistake_is_a_json_path() -> None:
    raw = json.dumps({"default": [REJECT], "transports": {"docker": {"x.y/z": [REJECT, {**SIG, "keyPath": 5}]}}}).encode()
    with pytest.raises(UsageError) as caught:
        parse_policy(raw, "/etc/p.json")
    assert caught.value.where == '/etc/p.json: transports.docker["x.y/z"][1].keyPath'
    assert caught.value.got == "5"


@pytest.mark.parametrize(
    ("transport", "scopes"),
    [
        ("unknown", ("anything", "/ goes //", "")),
        ("Docker", ("x",)),
        ("docker", ("*.example.com", "*.x/ns", "example.com:5000/ns/repo:tag", "")),
        ("dir", ("/this/does/not/exist", "")),
        ("docker-archive", ("",)),
        ("docker-daemon", ("0" * 64, "docker.io/library/busybox:latest")),
        ("atomic", ("h", "h:1", "h/ns", "h/ns/s", "h/ns/s:t")),
        (
            "containers-storage",
            ("[/x]", "[d@/x]", "[/x]busybox", "[/x]b@" + "0" * 64, f"[d@/x]b@{DIGEST}", f"[/x]b:1@{DIGEST}@{'0' * 64}"),
        ),
        ("airgap", ("", "prod-site", "a", "a.b_c-9", "x" * 48)),
    ],
    ids=["9-unknown", "9-other-case", "docker", "14-dir", "15", "16", "17", "18", "airgap"],
)
def test_valid_scopes_are_accepted(transport: str, scopes: tuple[str, ...]) -> None:
    assert tuple(parse_policy(with_scopes(transport, *scopes)).transports[transport]) == scopes


@pytest.mark.parametrize(
    "raw", [b'{"default":[{"type":"reject"}]}', b' {"default":[{"type":"reject"}],"transports":{}}\n'], ids=["8-absent", "8-empty"]
)
def test_transports_may_be_absent_or_empty(raw: bytes) -> None:
    policy = parse_policy(raw)
    assert (policy.default, dict(policy.transports)) == ((r.Reject(),), {})


def requirement(raw: bytes) -> r.Requirement:
    return parse_policy(raw).default[0]


def test_24_identity_defaults_to_match_repo_digest_or_exact() -> None:
    parsed = requirement(with_requirement(KEY))
    assert isinstance(parsed, r.SignedBy)
    assert parsed.identity is None  # absent: accepts() takes the default, and a bundle's requirement must have none


def test_27_short_remap_prefixes_parse() -> None:
    for prefix in ("shortname", "ns/shortname", "example.com", "example.com:5000", "example.com/ns"):
        parsed = requirement(remap(prefix))
        assert isinstance(parsed, r.SignedBy)
        assert parsed.identity == r.RemapIdentity(prefix, "docker.io")


def test_names_that_make_skopeo_refuse_the_whole_policy_are_refused_here_too() -> None:
    for identity in (
        {"type": "remapIdentity", "prefix": "[::1]:5000/x", "signedPrefix": "docker.io"},
        {"type": "remapIdentity", "prefix": "docker.io", "signedPrefix": "[::1]"},
        {"type": "exactReference", "dockerReference": "[::1]:5000/x:1"},
        {"type": "exactRepository", "dockerRepository": "[::1]/x"},
    ):
        with pytest.raises(UsageError, match="the policy is invalid"):
            requirement(with_requirement({**KEY, "signedIdentity": identity}))


def test_empty_gpg_key_sources_parse_and_fail_only_when_evaluated() -> None:
    assert requirement(signed_by(keyPaths=[])) == r.SignedBy("GPGKeys", r.KeySource())
    assert requirement(signed_by(keyData="")) == r.SignedBy("GPGKeys", r.KeySource(datas=(b"",)))


def test_line_breaks_within_base64_are_ignored() -> None:
    assert requirement(signed_by(keyData="Y\r\nWI=\n")) == r.SignedBy("GPGKeys", r.KeySource(datas=(b"ab",)))


def test_30_a_policy_with_every_field_is_read_as_written() -> None:
    base = {"type": "exactReference", "dockerReference": "registry.example.com/b:1"}
    repository = {"type": "exactRepository", "dockerRepository": "q/r:t"}
    raw = {
        "default": [REJECT],
        "transports": {
            "dir": {"": [{"type": "insecureAcceptAnything"}]},
            "docker": {
                "example.com/playground": [{"type": "insecureAcceptAnything"}],
                "example.com/production": [KEY],
                "example.com/hardened": [
                    {**KEY, "signedIdentity": {"type": "matchRepository"}},
                    {"type": "signedBy", "keyType": "signedByGPGKeys", "keyPaths": ["/a", "/b"]},
                ],
                "example.com/x509": [{"type": "signedBaseLayer", "baseLayerIdentity": base}],
                "bogus/key-data": [{"type": "signedBy", "keyType": "X509Certificates", "keyData": "bm9uc2Vuc2U="}],
                "example.com/sigstore": [{**SIG, "rekorPublicKeyDatas": ["YQ==", "Yg=="], "signedIdentity": repository}],
                "example.com/keyless": [{"type": "sigstoreSigned", "fulcio": FULCIO, "rekorPublicKeyPath": "/r"}],
                "example.com/pki": [
                    {"type": "sigstoreSigned", "pki": {**PKI, "caIntermediatesData": "YQ==", "subjectHostname": "h"}},
                ],
            },
        },
    }
    policy = parse_policy(json.dumps(raw).encode())
    gpg = r.SignedBy("GPGKeys", r.KeySource(paths=("/k.gpg",)))
    ca = r.KeySource(paths=("/ca",))
    assert policy.transports == {
        "dir": {"": (r.AcceptAnything(),)},
        "docker": {
            "example.com/playground": (r.AcceptAnything(),),
            "example.com/production": (gpg,),
            "example.com/hardened": (
                r.SignedBy("GPGKeys", r.KeySource(paths=("/k.gpg",)), r.MatchRepository()),
                r.SignedBy("signedByGPGKeys", r.KeySource(paths=("/a", "/b"))),
            ),
            "example.com/x509": (r.SignedBaseLayer(r.ExactReference("registry.example.com/b:1")),),
            "bogus/key-data": (r.SignedBy("X509Certificates", r.KeySource(datas=(b"nonsense",))),),
            "example.com/sigstore": (
                r.SigstoreSigned(
                    keys=r.KeySource(paths=("/k.pub",)),
                    rekor=r.KeySource(datas=(b"a", b"b")),
                    identity=r.ExactRepository("q/r:t"),
                ),
            ),
            "example.com/keyless": (
                r.SigstoreSigned(None, fulcio=r.Fulcio(ca, "https://i", "a@b"), rekor=r.KeySource(paths=("/r",))),
            ),
            "example.com/pki": (r.SigstoreSigned(None, pki=r.Pki(ca, r.KeySource(datas=(b"a",)), "a@b", "h")),),
        },
    }


def test_hostile_text_in_a_policy_cannot_reach_the_terminal() -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(json.dumps({"default": [REJECT], "evil\x1b]0;x\x07": 1}).encode())
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "gpg", "any_of"),
    [((), (), False), (("/a.pub",), ("/b.gpg",), False), (("/a", "/b"), (), True), ((), ("/a", "/b"), True)],
)
def test_the_templates_parse_and_reject_by_default(keys, gpg, any_of) -> None:
    given = [PolicyKey(path=path) for path in keys] + [PolicyKey(openpgp=True, path=path) for path in gpg]
    policy = parse_policy(json.dumps(site_policy(given, "prod", any_of=any_of)).encode())
    assert policy.default == (r.Reject(),)
    assert policy.has_bundle_scope == bool(keys or gpg)
    if keys or gpg:
        assert len(policy.transports["airgap"]["prod"]) == (1 if any_of else len(keys) + len(gpg))
