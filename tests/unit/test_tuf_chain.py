"""From a pinned root to the trusted root: what is followed, and what is refused and why."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, TargetFile, Targets  # type: ignore[attr-defined]

from airgap.errors import Damaged, Refused
from airgap.trust.sigstore.tufchain import follow, root_facts
from airgap.trust.sigstore.tuftrust import TARGET, TIMESTAMP, Followed, Trust, root_name
from tests.support import trustedroots
from tests.support.tufrepository import TufRepository

NEWER = trustedroots.root([trustedroots.log("rekor.example"), trustedroots.log("rekor2.example")])


def followed(repository: TufRepository, trust: Trust | None = None, days: float = 0) -> Followed:
    return follow(trust or repository.trust(), repository.files.get, repository.after(days))


def refused(repository: TufRepository, trust: Trust | None = None, days: float = 0) -> Refused:
    with pytest.raises(Refused) as caught:
        followed(repository, trust, days)
    return caught.value


def test_three_rotations_of_the_root_lead_from_the_pinned_root_to_the_newest_trusted_root() -> None:
    repository = TufRepository()
    for _ in range(3):
        repository.rotate()
    repository.publish(NEWER)
    found = followed(repository)
    assert (found.version, found.target) == (4, NEWER)
    assert sorted(found.trust.roots) == [1, 2, 3, 4]
    assert found.trust.root == repository.files["4.root.json"]
    assert followed(repository, found.trust) == found


def test_a_root_in_between_may_have_expired_but_not_the_last_one() -> None:
    repository = TufRepository(days=400)
    repository.rotate(days=-300)
    repository.rotate()
    assert followed(repository).version == 3
    repository.rotate(days=-1)
    error = refused(repository)
    assert (error.what, error.where) == ("the metadata of the trusted root has expired", "4.root.json")


@pytest.mark.parametrize(("days", "where"), [(8, TIMESTAMP), (22, "1.snapshot.json"), (91, "targets.json")])
def test_expired_metadata_is_refused(days: int, where: str) -> None:
    repository = TufRepository()
    if where != TIMESTAMP:
        repository.stamp(days=300)
    if where == "targets.json":
        repository.snapshot.expires = repository.after(300)
        repository.put(repository.snapshot, "snapshot")
    error = refused(repository, days=days)
    assert (error.what, error.where) == ("the metadata of the trusted root has expired", where)
    assert followed(repository, days=days - 2).version == 1


@pytest.mark.parametrize("signatures", [0, 1])
def test_a_root_signed_by_fewer_keys_than_the_threshold_is_refused(signatures: int) -> None:
    repository = TufRepository(threshold=2)
    repository.rotate(sign=signatures)
    error = refused(repository)
    assert (error.what, error.where) == ("not signed by enough of the keys that must vouch for it", "2.root.json")


def test_a_root_signed_by_its_own_new_keys_alone_is_refused() -> None:
    repository, thief = TufRepository(), TufRepository()
    thief.rotate()
    repository.files["2.root.json"] = thief.files["2.root.json"]
    assert refused(repository).where == "2.root.json"


def test_one_signature_given_twice_counts_once() -> None:
    repository = TufRepository(threshold=2)
    document = json.loads(repository.rotate(sign=1))
    document["signatures"] = [document["signatures"][0]] * 2
    repository.files["2.root.json"] = json.dumps(document).encode()
    assert refused(repository).where == "2.root.json"


def test_metadata_signed_by_keys_of_another_role_is_refused() -> None:
    repository = TufRepository()
    repository.files[TIMESTAMP] = repository.signed(repository.timestamp, repository.signers["snapshot"])
    assert refused(repository).where == TIMESTAMP


def test_a_rollback_of_the_timestamp_is_refused() -> None:
    repository = TufRepository()
    old = repository.copy()
    repository.stamp()
    known = followed(repository).trust
    error = refused(old, known)
    assert (error.what, error.where) == ("not the version that must follow: the site knows a newer state", TIMESTAMP)


def test_a_rollback_of_the_snapshot_under_a_new_timestamp_is_refused() -> None:
    repository = TufRepository()
    old = repository.copy()
    repository.publish(NEWER)
    known = followed(repository).trust
    old.timestamp.version = 9
    old.stamp()
    assert refused(old, known).where == TIMESTAMP


def test_a_rollback_of_the_targets_under_a_new_snapshot_is_refused() -> None:
    repository = TufRepository()
    old = repository.copy()
    repository.publish(NEWER)
    known = followed(repository).trust
    old.snapshot.version = 9
    old.put(old.snapshot, "snapshot")
    old.stamp()
    old.stamp()
    assert refused(old, known).where == "9.snapshot.json"


def test_a_repository_with_an_older_root_than_the_site_has_is_no_way_back() -> None:
    repository = TufRepository()
    old = repository.copy()
    repository.rotate()
    repository.publish(NEWER)
    known = followed(repository).trust
    error = refused(old, known)
    assert error.where == TIMESTAMP


@pytest.mark.parametrize("missing", ["the fork alone", "the root before it as well"])
def test_a_fork_of_the_root_is_refused(missing: str) -> None:
    repository = TufRepository()
    fork = repository.copy()
    repository.rotate()
    known = followed(repository).trust
    fork.rotate()
    fork.publish(NEWER)
    if missing != "the fork alone":
        del fork.files["1.root.json"]
    assert followed(fork, fork.trust() if "1.root.json" in fork.files else repository.trust()).version == 2  # by itself it is valid
    error = refused(fork, known)
    assert (error.what, error.where) == ("a fork: another root of version 2 than the one that is trusted", "2.root.json")


def test_a_fork_in_the_past_is_refused_although_the_newest_root_is_the_same() -> None:
    repository = TufRepository()
    fork = repository.copy()
    repository.rotate()
    repository.rotate()
    known = followed(repository).trust
    fork.rotate()
    repository.files["2.root.json"] = fork.files["2.root.json"]
    assert refused(repository, known).where == "2.root.json"


def test_the_same_root_with_one_more_signature_is_no_fork() -> None:
    repository = TufRepository()
    known = followed(repository).trust
    metadata = Metadata.from_bytes(repository.files["1.root.json"])
    metadata.sign(repository.signers["timestamp"][0], append=True)
    repository.files["1.root.json"] = metadata.to_bytes()
    assert followed(repository, known).version == 1


def test_new_keys_in_a_new_root_end_what_the_old_ones_said() -> None:
    """Specification 5.3.11: whoever stole the timestamp key and signed version 1000 does not lock the site out for ever."""
    repository = TufRepository()
    repository.timestamp.version = 1000
    repository.stamp()
    known = followed(repository).trust
    fresh = TufRepository()
    old = repository.signers["timestamp"][0].public_key.keyid
    repository.root.revoke_key(old, "timestamp")
    repository.root.add_key(fresh.signers["timestamp"][0].public_key, "timestamp")
    repository.signers["timestamp"] = fresh.signers["timestamp"]
    repository.rotate()
    repository.timestamp.version = 1
    repository.publish(NEWER)
    assert followed(repository, known).target == NEWER


@pytest.mark.parametrize("name", [TIMESTAMP, "1.snapshot.json", "1.targets.json", "the target"])
def test_a_missing_file_is_named(name: str) -> None:
    repository = TufRepository()
    name = next(one for one in repository.files if one == name or (name == "the target" and one.startswith("targets/")))
    del repository.files[name]
    with pytest.raises(Damaged) as caught:
        followed(repository)
    assert caught.value.where == name


@pytest.mark.parametrize("name", ["1.targets.json", "the target"])
def test_a_changed_file_is_refused(name: str) -> None:
    repository = TufRepository()
    name = next(one for one in repository.files if one == name or (name == "the target" and one.startswith("targets/")))
    repository.files[name] += b" "
    assert refused(repository).what == "not the file that the metadata vouches for"


@pytest.mark.parametrize("name", ["1.root.json", "2.root.json", TIMESTAMP, "1.snapshot.json", "1.targets.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"signed": 1, "signatures": 2}', b'{"a": 1, "a": 2}'])
def test_what_is_no_metadata_is_refused(name: str, content: bytes) -> None:
    repository = TufRepository()
    repository.rotate()
    trust = repository.trust()
    repository.files[name] = content
    with pytest.raises((Refused, Damaged)):
        followed(repository, trust)


def delegated(name: str, *, circle: bool = False) -> TufRepository:
    """The target stands with a role that targets delegate to; in a circle that role delegates to itself."""
    repository = TufRepository()
    role = Targets(version=1, expires=repository.after(30))
    role.targets = {TARGET: TargetFile.from_data(TARGET, trustedroots.plain(), ["sha256"])}
    key = repository.signers["targets"][0].public_key
    repository.targets.targets = {}
    below = {name: DelegatedRole(name, [key.keyid], 1, terminating=True, paths=["*.json"])}
    repository.targets.delegations = Delegations({key.keyid: key}, below)
    if circle:
        role.targets, role.delegations = {}, repository.targets.delegations
    repository.targets.version += 1
    raw = repository.put(repository.targets, "targets")
    repository.files[f"1.{name}.json"] = repository.signed(role, repository.signers["targets"])
    repository.snapshot.meta = {"targets.json": MetaFile.from_data(2, raw, ["sha256"]), f"{name}.json": MetaFile(1)}
    repository.snapshot.version += 1
    repository.put(repository.snapshot, "snapshot")
    repository.stamp()
    return repository


def test_a_target_of_a_delegated_role_is_found() -> None:
    assert followed(delegated("sigstore.example")).target == trustedroots.plain()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "x" * 300, "a\nb"])
def test_a_name_that_could_lead_out_of_the_repository_is_never_asked_for(name: str) -> None:
    repository = delegated(name)
    asked: list[str] = []

    def fetch(one: str) -> bytes | None:
        asked.append(one)
        return repository.files.get(one)

    with pytest.raises(Refused) as caught:
        follow(repository.trust(), fetch, repository.now)
    assert "names a file" in caught.value.what
    assert not [one for one in asked if name in one]


def test_delegations_in_a_circle_end() -> None:
    assert refused(delegated("sigstore.example", circle=True)).what == "the repository vouches for no trusted root"


def test_facts_of_a_root_say_version_expiry_and_threshold() -> None:
    repository = TufRepository(threshold=2, days=100)
    facts = root_facts(repository.files[root_name(1)], "root.json")
    assert (facts.version, facts.threshold, facts.keys) == (1, 2, 3)
    assert facts.expires == repository.now + dt.timedelta(days=100)


def test_a_root_that_does_not_sign_itself_is_not_pinned() -> None:
    repository = TufRepository(threshold=2)
    raw = repository.signed(repository.root, repository.signers["root"][:1])
    with pytest.raises(Refused):
        root_facts(raw, "root.json")
