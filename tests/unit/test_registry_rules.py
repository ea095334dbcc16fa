"""registries.conf: which files count, what they say of a name, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import Refused, UsageError
from airgap.oci.reference import Repository
from airgap.registry import RegistryOptions, Rules, load_rules


def rules(tmp_path: Path, text: str) -> Rules:
    file = tmp_path / "registries.conf"
    file.write_text(text)
    return load_rules(file, {}, tmp_path / "none")


def places(found: Rules, name: str, by_digest: bool = True) -> list[str]:
    host, _, path = name.partition("/")
    return [str(place.repository) for place in found.places(Repository(host, path), by_digest)]


HUB = """
[[registry]]
prefix = "docker.io"
location = "registry.lan:5000/hub"
[[registry.mirror]]
location = "mirror-one.lan"
[[registry.mirror]]
location = "mirror-two.lan:8443/cache"
insecure = true

[[registry]]
prefix = "docker.io/library/special"
location = "elsewhere.example/special"
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/a/b", ["mirror-one.lan/a/b", "mirror-two.lan:8443/cache/a/b", "registry.lan:5000/hub/a/b"]),
        ("docker.io/library/special", ["elsewhere.example/special"]),
        ("docker.io/library/special/deep", ["elsewhere.example/special/deep"]),
        ("docker.io/library/specials", [f"{at}/library/specials" for at in (
            "mirror-one.lan", "mirror-two.lan:8443/cache", "registry.lan:5000/hub")]),
        ("docker.io.example/a", ["docker.io.example/a"]),
        ("quay.io/a", ["quay.io/a"]),
    ],
)  # fmt: skip
def test_longest_prefix_decides_where_an_image_is_read(tmp_path: Path, name: str, expected: list[str]) -> None:
    assert places(rules(tmp_path, HUB), name) == expected


@pytest.mark.parametrize(
    ("setting", "in_mirror", "by_tag", "by_digest"),
    [
        ("", "", True, True),
        ("", 'pull-from-mirror = "all"', True, True),
        ("", 'pull-from-mirror = "digest-only"', False, True),
        ("", 'pull-from-mirror = "tag-only"', True, False),
        ("mirror-by-digest-only = true", "", False, True),
        ("mirror-by-digest-only = false", "", True, True),
    ],
)
def test_mirrors_serve_tags_or_digests_as_they_are_meant_to(
    tmp_path: Path, setting: str, in_mirror: str, by_tag: bool, by_digest: bool
) -> None:
    found = rules(tmp_path, f'[[registry]]\nlocation = "r.io"\n{setting}\n[[registry.mirror]]\nlocation = "m.io"\n{in_mirror}\n')
    for asked, served in ((False, by_tag), (True, by_digest)):
        assert places(found, "r.io/a", asked) == ["m.io/a"] * served + ["r.io/a"]


def test_wildcard_stands_for_all_subdomains_and_leaves_names_as_they_are(tmp_path: Path) -> None:
    found = rules(tmp_path, '[[registry]]\nprefix = "*.example.com"\ninsecure = true\n[[registry.mirror]]\nlocation = "m.io/x"\n')
    assert places(found, "a.b.example.com/n") == ["m.io/x/n", "a.b.example.com/n"]
    assert places(found, "example.com/n") == ["example.com/n"]
    assert places(found, "evilexample.com/n") == ["evilexample.com/n"]
    assert found.is_insecure("a.example.com:5000", "n")
    assert not found.is_insecure("m.io", "x/n")


def test_exact_prefix_beats_a_wildcard(tmp_path: Path) -> None:
    text = '[[registry]]\nprefix = "*.example.com"\nblocked = true\n[[registry]]\nlocation = "a.example.com"\n'
    assert places(rules(tmp_path, text), "a.example.com/n") == ["a.example.com/n"]


def test_blocked_is_refused_with_the_file_that_says_so(tmp_path: Path) -> None:
    found = rules(tmp_path, '[[registry]]\nlocation = "bad.example"\nblocked = true\n')
    with pytest.raises(Refused) as caught:
        found.places(Repository("bad.example", "a"), True)
    assert "bad.example/a is blocked" in caught.value.what
    assert caught.value.where == str(tmp_path / "registries.conf")
    with pytest.raises(Refused):
        found.check_open("bad.example", "a")
    found.check_open("good.example", "a")


def test_mirrors_of_a_blocked_location_are_used_and_the_location_is_not(tmp_path: Path) -> None:
    found = rules(tmp_path, '[[registry]]\nlocation = "r.io"\nblocked = true\n[[registry.mirror]]\nlocation = "m.io"\n')
    assert places(found, "r.io/a") == ["m.io/a"]


def test_mirror_that_is_blocked_itself_is_left_out(tmp_path: Path) -> None:
    text = (
        '[[registry]]\nlocation = "r.io"\n[[registry.mirror]]\nlocation = "m.io"\n[[registry]]\nlocation = "m.io"\nblocked = true\n'
    )
    assert places(rules(tmp_path, text), "r.io/a") == ["r.io/a"]


def test_insecure_is_decided_by_the_most_special_place(tmp_path: Path) -> None:
    text = '[[registry]]\nlocation = "r.io"\ninsecure = true\n[[registry]]\nlocation = "r.io/safe"\n'
    found = rules(tmp_path, text)
    assert [found.is_insecure("r.io", path) for path in ("", "a", "safe", "safe/b", "safer")] == [True, True, False, False, True]
    assert RegistryOptions(rules=found).endpoint("r.io").plain


def test_rewritten_name_that_is_no_repository_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    found = rules(tmp_path, '[[registry]]\nprefix = "r.io/team"\nlocation = "only-a-host.io"\n')
    with pytest.raises(UsageError) as caught:
        found.places(Repository("r.io", "team"), True)
    assert caught.value.where.endswith("registries.conf")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tool", "registry.example/team/tool"),
        ("tool:1.2", "registry.example/team/tool:1.2"),
        ("tool@sha256:" + "a" * 64, "registry.example/team/tool@sha256:" + "a" * 64),
        ("other", "other"),
        ("quay.io/tool:1", "quay.io/tool:1"),
        ("localhost:5000/tool", "localhost:5000/tool"),
        ("two/words:x", "quay.io/two/words:x"),
    ],
)
def test_short_names_mean_their_alias_and_nothing_is_searched(tmp_path: Path, text: str, meant: str) -> None:
    aliases = '[aliases]\n"tool" = "registry.example/team/tool"\n"two/words" = "quay.io/two/words"\n'
    assert rules(tmp_path, f'unqualified-search-registries = ["evil.example"]\n{aliases}').expand(text) == meant


def test_later_files_replace_prefixes_and_erase_aliases(tmp_path: Path) -> None:
    system, home = tmp_path / "etc", tmp_path / "home"
    for directory in (system / "registries.conf.d", home / ".config/containers/registries.conf.d", home / ".cache/containers"):
        directory.mkdir(parents=True)
    (system / "registries.conf").write_text('[[registry]]\nlocation = "a.io"\nblocked = true\n[aliases]\none = "a.io/1"\n')
    (system / "registries.conf.d/20.conf").write_text('[[registry]]\nprefix = "a.io"\nlocation = "b.io"\n[aliases]\none = ""\n')
    (system / "registries.conf.d/10.conf").write_text(
        '[[registry]]\nprefix = "a.io"\nlocation = "c.io"\n[aliases]\ntwo = "a.io/2"\n'
    )
    (system / "registries.conf.d/30.conf~").write_text("not read")
    (home / ".config/containers/registries.conf.d/x.conf").write_text('[aliases]\nthree = "a.io/3"\n')
    (home / ".cache/containers/short-name-aliases.conf").write_text('[aliases]\nthree = "a.io/33"\n')
    found = load_rules(None, {"HOME": str(home)}, system)
    assert places(found, "a.io/n") == ["b.io/n"]
    assert dict(found.aliases) == {"two": "a.io/2", "three": "a.io/33"}


def test_users_own_file_takes_the_place_of_the_systems(tmp_path: Path) -> None:
    system, home = tmp_path / "etc", tmp_path / "home"
    (system / "registries.conf.d").mkdir(parents=True)
    (system / "registries.conf.d/10.conf").write_text('[[registry]]\nlocation = "a.io"\nblocked = true\n')
    (home / ".config/containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text('[[registry]]\nprefix = "a.io"\nlocation = "mine.io"\n')
    assert places(load_rules(None, {"HOME": str(home)}, system), "a.io/n") == ["mine.io/n"]
    chosen = tmp_path / "chosen.conf"
    chosen.write_text('[[registry]]\nprefix = "b.io"\nlocation = "chosen.io"\n')
    for found in (load_rules(chosen, {}, system), load_rules(None, {"CONTAINERS_REGISTRIES_CONF": str(chosen)}, system)):
        assert places(found, "b.io/n") == ["chosen.io/n"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[registry]\n", "line 1"),
        ("\xff", "TOML"),
        ("registry = 1\n", "registry"),
        ('[[registry]]\nprefix = "a.io"\n', "location"),
        ('[[registry]]\nlocation = "https://a.io"\n', "without https://"),
        ('[[registry]]\nlocation = ""\n', "location"),
        ('[[registry]]\nlocation = "*.a.io"\n', "location"),
        ('[[registry]]\nprefix = "a.*.io"\nlocation = "b.io"\n', "prefix"),
        ('[[registry]]\nprefix = "*.a.io/x"\nlocation = "b.io"\n', "prefix"),
        ('[[registry]]\nlocation = "a.io"\nblock = true\n', "block"),
        ('[[registry]]\nlocation = "a.io"\nblocked = "yes"\n', "true or false"),
        ('[[registry]]\nlocation = "a.io"\n[[registry]]\nlocation = "a.io"\n', "only one table"),
        ('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\ninsecure = true\n', "mirror"),
        ('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "m.io"\npull-from-mirror = "never"\n', "digest-only"),
        ('[[registry]]\nlocation = "a.io"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m.io"\n'
         'pull-from-mirror = "all"\n', "without mirror-by-digest-only"),
        ('[[registry]]\nlocation = "a.io"\nmirror = ["m.io"]\n', "table"),
        ('[registries.search]\nregistries = ["a.io"]\n', "version 2"),
        ('aliases = 1\n', "table"),
        ('[aliases]\n"a.io/x" = "b.io/x"\n', "short name"),
        ('[aliases]\nx = "b.io/x:1"\n', "neither with a tag"),
        ('[aliases]\nx = "short"\n', "HOST/path"),
        ('[aliases]\nx = 1\n', "HOST/path"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_file_and_place(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "registries.conf").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_rules(tmp_path / "registries.conf", {}, tmp_path)
    assert caught.value.where == str(tmp_path / "registries.conf")
    assert says in str(caught.value)


def test_file_that_was_named_must_exist_and_the_default_need_not(tmp_path: Path) -> None:
    assert load_rules(None, {"HOME": str(tmp_path)}, tmp_path) == Rules()
    with pytest.raises(UsageError):
        load_rules(tmp_path / "missing.conf", {}, tmp_path)
