"""Keys of ``airgap.toml`` that are tables of scopes: what they give their options, and mistakes with line and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import USAGE, failed, here
from tests.support.configured import keys, parsed


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AIRGAP_CONFIG")


def write(text: str) -> None:
    Path("airgap.toml").write_text(text)


def shown(key: str, *arguments: str) -> tuple[object, str]:
    """The value of a key that the file or the environment gives, and where it stands."""
    done = here("config", "show", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    sections = json.loads(done.stdout)["sections"]
    return next((one["value"], one["where"]) for section in sections for one in section["options"] if one["option"] == key)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ('[site.unnamed-signature]\n"ghcr.io" = true\n', "1:1", "did you mean unnamed-signatures?"),
        ('[site.unnamed-signatures]\n"ghcr.io/acme" = "yes"\n', "2:1", '"SCOPE" = true or false'),
        ("[site.unnamed-signatures]\nghcr.io = true\n", "2:1", "write the scope in quotes"),
        ('[site.unnamed-signatures]\n"ghcr.io" = true\n"GHCR.io/acme" = false\n', "3:1", "write ghcr.io/acme"),
        ('[site]\nunnamed-signatures = ["ghcr.io", "acme"]\n', "2:1", "matches no image"),
        ('[site]\nunnamed-signatures = true\n', "2:1", "a table of scopes"),
        ('[stream.prod.unnamed-signatures]\n"ghcr.io" = 1\n', "2:1", '"SCOPE" = true or false'),
        ('[site.import.unnamed-signatures]\n"acme" = false\n', "2:1", "matches no image"),
        ('[site.attestation."ghcr.io"]\npredicate = "slsa"\n', "1:1", "did you mean attestations?"),
        ('[site.attestations]\n"ghcr.io/acme" = true\n', "2:1", "false, or tables with predicate, builder, source"),
        ('[site.attestations]\n"ghcr.io/acme" = "slsa"\n', "2:1", "false, or tables with predicate, builder, source"),
        ('[site.attestations]\n"ghcr.io/acme" = ["slsa"]\n', "2:1", "false, or tables with predicate, builder, source"),
        ('[site.attestations.ghcr.io]\npredicate = "slsa"\n', "1:1", "write the scope in quotes"),
        ('[site.attestations."ghcr.io"]\npredicat = "slsa"\n', "1:1", "did you mean predicate?"),
        ('[site.attestations."ghcr.io"]\npredicate = ["slsa"]\n', "1:1", "a string"),
        ('[site.attestations."ghcr.io"]\nbuilder = "https://b.example"\n', "1:1", "not a predicate type"),
        ('[site.attestations."ghcr.io"]\npredicate = "slsa"\nsource = "https://a/x,builder=https://b"\n', "1:1", "not a source"),
        ('[site.attestations]\n"ghcr.io" = []\n"GHCR.io" = false\n', "3:1", "write ghcr.io"),
        ('[site]\nattestations = ["ghcr.io=slsa", "ghcr.io"]\n', "2:1", "SCOPE=TYPE"),
        ('[site]\nattestations = true\n', "2:1", "a table of scopes with demands"),
        ('[stream.prod.attestations."ghcr.io"]\npredicate = "sbom"\n', "1:1", "not a predicate type"),
    ],
)  # fmt: skip
def test_mistake_in_a_table_of_scopes_is_told_by_its_place(text: str, where: str, says: str) -> None:
    write(text)
    failed(here("config", "check"), USAGE, f"airgap.toml:{where}", says)


def test_scopes_with_true_or_false_are_a_table_of_the_site_a_command_or_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[site.unnamed-signatures]\n"ghcr.io/acme" = true\n"ghcr.io/acme/old" = false\n[site]\nto = "oci:x"\n')
    given = ["ghcr.io/acme=true", "ghcr.io/acme/old=false"]
    assert shown("unnamed-signatures") == (given, "airgap.toml:1:1")
    for words in ("import", "verify", "watch", "serve", "policy explain"):
        (key,) = (key for key in keys(words) if key.name == "unnamed-signatures")
        assert parsed(words, key) == given
        assert parsed(words, key, "--unnamed-signatures=quay.io", "--unnamed-signatures=a.example") == ["quay.io", "a.example"]
    monkeypatch.setenv("AIRGAP_UNNAMED_SIGNATURES", "quay.io\nquay.io/x=false")
    assert shown("unnamed-signatures") == (["quay.io", "quay.io/x=false"], "AIRGAP_UNNAMED_SIGNATURES")
    monkeypatch.delenv("AIRGAP_UNNAMED_SIGNATURES")
    write('[site.import.unnamed-signatures]\n"" = false\n[site]\nunnamed-signatures = {"ghcr.io" = true}\n')
    (key,) = (key for key in keys("import") if key.name == "unnamed-signatures")
    assert (parsed("import", key), parsed("verify", key)) == (["=false"], ["ghcr.io=true"])
    write('[stream.prod]\nlists = "x"\n[stream.prod.unnamed-signatures]\n"ghcr.io" = true\n')
    assert shown("unnamed-signatures", "prod") == (["ghcr.io=true"], "airgap.toml:3:1")


def test_demands_are_tables_of_scopes_and_one_option_of_every_command_that_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    example = page.partition('    [site.attestations."ghcr.io/acme"]')
    lines = (example[1] + example[2]).partition("\n\n- ")[0].splitlines()
    write("\n".join(line.removeprefix("    ") for line in lines))
    builder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/*"
    given = [
        f"ghcr.io/acme=slsa,builder={builder},source=https://github.com/acme/app",
        "ghcr.io/acme/web=slsa",
        "ghcr.io/acme/web=spdx",
        "ghcr.io/acme/legacy=false",
    ]
    assert here("config", "check").returncode == 0
    for words in ("import", "verify", "watch", "serve", "policy explain", "mirror-config"):
        (key,) = (key for key in keys(words) if key.name == "attestations")
        assert parsed(words, key) == given
        assert parsed(words, key, "--attestations=quay.io=spdx", "--attestations==vuln") == ["quay.io=spdx", "=vuln"]
    monkeypatch.setenv("AIRGAP_ATTESTATIONS", "quay.io=slsa\nquay.io/x=false")
    assert shown("attestations") == (["quay.io=slsa", "quay.io/x=false"], "AIRGAP_ATTESTATIONS")
    monkeypatch.delenv("AIRGAP_ATTESTATIONS")
    write('[stream.prod]\nlists = "x"\n[stream.prod.attestations]\n"ghcr.io" = {predicate = "vuln"}\n')
    assert shown("attestations", "prod") == (["ghcr.io=vuln"], "airgap.toml:3:1")
