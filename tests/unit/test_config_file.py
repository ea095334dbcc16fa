"""``airgap.toml``: where it is looked for, mistakes with line and column, paths, what it must not say."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.cli.config.paths import rebased
from airgap.cli.config.positions import positions_of
from airgap.cli.config.template import Answers, text_of
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.configured import commands, key_tables, keys, parsed
from tests.support.schemas import checked


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AIRGAP_CONFIG")


def write(text: str, path: str | Path = "airgap.toml") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def shown(key: str, *arguments: str) -> tuple[object, str]:
    """The value of a key that a file gives, and where it stands."""
    done = here("config", "show", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    sections = json.loads(done.stdout)["sections"]
    return next((one["value"], one["where"]) for section in sections for one in section["options"] if one["option"] == key)


def test_key_has_the_position_where_it_is_written() -> None:
    text = """\
# comment with [brackets] and key = 1
[site]
 to = "a # no comment [x]"
map = [  # two
  "x]",
  '''y
  ''',
]
a."b.c" . d = \"\"\"
not = "a key\"\"\"\"\"

[ stream . 'prod site' ]
lists = {file = "a", more = [1]}
"""
    tomllib.loads(text)
    found = positions_of(text)
    assert found[("site",)] == (2, 1)
    assert found[("site", "to")] == (3, 2)
    assert found[("site", "map")] == (4, 1)
    assert found[("site", "a", "b.c", "d")] == (9, 1)
    assert found[("stream", "prod site")] == (12, 1)
    assert found[("stream", "prod site", "lists")] == (13, 1)
    assert not any("not" in path for path in found)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=5))
def test_positions_are_found_for_whatever_keys_and_strings(table: dict[str, str]) -> None:
    lines = ["[site]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items())]
    text = "\n".join(lines).replace("\x7f", "\\u007f")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a surrogate, which JSON can write and TOML cannot
        return
    assert [positions_of(text)[("site", name)] for name in table] == [(number, 1) for number in range(2, len(table) + 2)]


def test_first_file_counts_and_the_others_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write('[site]\nto = "oci:mine"\n', tmp_path / "home/.config/airgap/airgap.toml")
    assert shown("to") == (f"oci:{tmp_path}/home/.config/airgap/mine", f"{tmp_path}/home/.config/airgap/airgap.toml:2:1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    write('[site]\nto = "oci:xdg"\n', tmp_path / "xdg/airgap/airgap.toml")
    assert shown("to")[0] == f"oci:{tmp_path}/xdg/airgap/xdg"
    write('[site]\nto = "oci:here"\n')
    write("not TOML", tmp_path / "xdg/airgap/airgap.toml")
    assert shown("to") == ("oci:here", "airgap.toml:2:1")


def test_named_file_counts_before_or_after_the_command_and_an_empty_name_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[site]\nto = "oci:here"\n')
    write('[site]\nto = "oci:there"\n', "else/other.toml")
    assert shown("to", "--config", "else/other.toml") == ("oci:else/there", "else/other.toml:2:1")
    done = here("--config", "else/other.toml", "config", "show")
    assert "oci:else/there" in done.stdout
    monkeypatch.setenv("AIRGAP_CONFIG", "else/other.toml")
    assert shown("to")[0] == "oci:else/there"
    assert shown("to", "--config", "airgap.toml")[0] == "oci:here"
    assert "none" in here("config", "show", "--config", "").stdout.splitlines()[0]
    monkeypatch.setenv("AIRGAP_CONFIG", "")
    assert "none" in here("config", "show").stdout.splitlines()[0]
    failed(here("import", "x", "--config", "missing.toml"), USAGE, "does not exist", "missing.toml")


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("[site\n", "1:6", "not valid TOML"),
        ("[site]\nto = oci:x\n", "2:6", "strings need quotes"),
        ("[stream.prod]\nexpires = 90d\n", "2:13", "strings need quotes"),
        ('[site]\nto = "x"\nto = "y"\n', "3:9", "keep one of them"),
        ("[site]\n[site]\n", "2:6", "put its keys together"),
        ('[site]\nto = "x', "2:8", "not valid TOML"),
        ("[sites]\n", "1:1", "did you mean site?"),
        ('site = "x"\n', "1:1", "not a section"),
        ("[[stream]]\n", "1:1", "not a section"),
        ('[stream]\nlists = "x"\n', "2:1", "not a section"),
        ('[stream."Prod Site"]\n', "1:1", "stream"),
        ('[site]\n\n  polcy = "x"\n', "3:3", "did you mean policy?"),
        ('[site]\nrequire_signed = true\n', "2:1", "did you mean require-signed?"),
        ("[site.imports]\nto = 1\n", "1:1", "did you mean import?"),
        ("[site]\nto = 5\n", "2:1", "a string"),
        ('[site]\nrequire-signed = "yes"\n', "2:1", "true or false"),
        ('[site]\nkeep = "2"\n', "2:1", "a number"),
        ("[site]\nkeep = true\n", "2:1", "a number"),
        ("[site]\nkeep = 2.5\n", "2:1", "a number"),
        ("[site]\nmap = [1]\n", "2:1", "in the list"),
        ("[site]\nto = 2026-01-01\n", "2:1", "a date or time"),
        ("[site]\nto = {a = 1}\n", "2:1", "unknown section"),
        ("[site]\nkeep = 0\n", "2:1", "invalid value for keep"),
        ('[site]\nformat = "k8s"\n', "2:1", "invalid value for format"),
        ('[site]\nmap = "x"\nmaps = "y"\n', "3:1", "the same key twice"),
        ('[site]\nout = "x"\n', "2:1", "[site.receipt]"),
        ("[site]\nallow-older = true\n", "2:1", "decided for one run"),
        ("[site]\ninit-state = true\n", "2:1", "decided for one run"),
        ('[stream.prod]\nstream = "x"\n', "2:1", "says which stream"),
        ('[stream.prod]\nparity = "1"\n', "2:1", "a number"),
        ("[stream.prod]\nparity = 300\n", "2:1", "invalid value for parity"),
        ('[stream.prod]\npassphrase = "geheim"\n', "2:1", "secret"),
        ('[site]\nregistry-password = "geheim"\n', "2:1", "secret"),
        ('[site]\ndecrypt-key = """-----BEGIN PRIVATE KEY-----\nx"""\n', "2:1", "key itself"),
        ('[site.serve.accept]\n"acme" = false\n', "1:1", "unknown key"),
        ("a." * 40 + "b = 1\n", "1:1", "dots"),
        ("[site]\nmap = " + "[" * 5000 + "\n", "", "nested too deeply"),
    ],
)  # fmt: skip
def test_mistake_is_said_with_file_line_and_column(text: str, where: str, says: str) -> None:
    write(text)
    done = here("config", "check")
    failed(done, USAGE, f"airgap.toml:{where}" if where else "airgap.toml", says)
    assert "geheim" not in done.stderr


def test_file_that_is_no_text_or_too_large_is_refused() -> None:
    Path("airgap.toml").write_bytes(b"[site]\nto = '\xff'\n")
    failed(here("config", "check"), USAGE, "airgap.toml:2:7", "UTF-8")
    write("#" * 300_000)
    failed(here("config", "check"), USAGE, "airgap.toml")


def test_mistake_in_the_own_section_stops_every_command_that_reads_it() -> None:
    write('[site]\npolcy = "x"\n[stream.prod]\nlists = "x"\nvolume_size = "fat32"\n')
    for command in (["import", "x"], ["verify", "x"], ["prune", "--keep", "1"], ["history"]):
        failed(here(*command), USAGE, "airgap.toml:2:1")
    for words in (["export", "prod"], ["plan", "prod"], ["resolve", "prod"]):
        failed(here(*words), USAGE, "airgap.toml:5:1", "did you mean volume-size?")


def test_paths_begin_at_the_file_that_names_them(tmp_path: Path) -> None:
    base = tmp_path / "etc"
    write(
        '[stream.prod]\nlists = ["a.txt", "-", "oci-archive:x.tar:1.0", "docker-daemon:x"]\nkey = ["k.key", "gpg:ABC"]\n'
        'since = ["s.receipt", "docker://reg/x", "oci:store"]\ncert-dir = ["certs", "reg:5000=certs"]\n'
        'attach = "docker.io/x:1::sarif=a=b.json"\ngates = ["./scan.sh --x {layout}", "trivy {registry}", "/bin/true"]\n'
        'out = "out"\npassphrase-file = "~/pass"\n[site]\nto = "dir:x"\nmap = ["rules.txt", "keep-host", "image=a=b"]\n'
        'lookaside = "sigs"\npolicy = "/p.json"\n[site.mirror-config]\nlookaside = "https://x/y"\n',
        base / "a.toml",
    )
    found = {
        key: shown(key, "--config", str(base / "a.toml"))[0] for key in ("lists", "key", "since", "cert-dir", "attach", "gate")
    }
    assert found == {
        "lists": [f"{base}/a.txt", "-", f"oci-archive:{base}/x.tar:1.0", "docker-daemon:x"],
        "key": [f"{base}/k.key", "gpg:ABC"],
        "since": [f"{base}/s.receipt", "docker://reg/x", f"oci:{base}/store"],
        "cert-dir": [f"{base}/certs", f"reg:5000={base}/certs"],
        "attach": [f"docker.io/x:1::sarif={base}/a=b.json"],
        "gate": [f"{base}/scan.sh --x {{layout}}", "trivy {registry}", "/bin/true"],
    }
    site = {key: shown(key, "--config", str(base / "a.toml"))[0] for key in ("out", "passphrase-file", "to", "map", "policy")}
    assert site == {
        "out": f"{base}/out",
        "passphrase-file": f"{tmp_path}/home/pass",
        "to": f"dir:{base}/x",
        "map": [f"{base}/rules.txt", "keep-host", "image=a=b"],
        "policy": "/p.json",
    }
    assert "https://x/y" in here("config", "show", "--config", base / "a.toml").stdout


def test_every_option_that_names_a_file_is_known_as_one() -> None:
    words = ("FILE", "DIR", "TARGET", "KEY", "BASE", "LIST")
    for name in commands():
        for key in keys(name):
            named = any(word in (key.option.metavar or "") for word in words)
            if named and key.kind is str and not key.for_one_run and name not in ("media log", "init"):
                assert rebased(key.name, is_path=False, text="x=y" if key.name == "attach" else "oci:y", base=Path("/b")) != "oci:y"


def test_policy_explain_reads_what_the_site_decides_by() -> None:
    write('[site]\npolicy = "own.json"\ninterval = 5\n')
    (key,) = (key for key in keys("policy explain") if key.name == "policy")
    assert parsed("policy explain", key) == Path("own.json")
    write('[site]\npolicy = "own.json"\nbundle = "x"\n')
    failed(here("policy", "explain", "x"), USAGE, "unknown key", "airgap.toml:3:1")


def test_configuration_that_others_may_have_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[site]\nto = "oci:x"\n')
    Path("airgap.toml").chmod(0o666)
    failed(here("import", "x"), REFUSED, "others may have written", "--config airgap.toml")
    assert shown("to", "--config", "airgap.toml")[0] == "oci:x"
    if os.geteuid() == 0:
        Path("airgap.toml").chmod(0o644)
        os.chown("airgap.toml", 12345, 12345)
        failed(here("import", "x"), REFUSED, "owner 12345")


@pytest.mark.parametrize("place", [".", "prod-site-0001"])
def test_configuration_on_a_medium_is_refused_for_it_would_bring_its_own_policy(place: str) -> None:
    write('[site]\nto = "oci:x"\npolicy = "accept-everything.json"\n')
    write("{}", Path(place, "catalog.json"))
    failed(here("import", "."), REFUSED, "on a medium", "--config airgap.toml")
    failed(here("watch", ".", "--to", "oci:y"), REFUSED, "on a medium")


def test_name_of_a_stream_that_is_also_a_file_must_be_told_apart() -> None:
    write('[stream.prod]\nlists = "a.txt"\n')
    write("", "prod")
    failed(here("export", "prod"), USAGE, "both a stream and a file", "./prod", "airgap.toml:1:1")
    failed(here("export", "./prod", "--stream", "prod"), USAGE, "'--out'")


def test_stream_without_lists_or_with_a_wrong_name_is_said() -> None:
    write("[stream.prod]\nparity = 1\n")
    failed(here("export", "prod"), USAGE, "no lists", "airgap.toml:1:1")
    failed(here("plan", "prd"), USAGE, "neither a file nor a stream", "did you mean prod?")


def test_resend_takes_no_list_of_the_stream_for_the_bundle() -> None:
    write('[stream.prod]\nlists = "a.txt"\nout = "out"\n')
    failed(here("export", "--resend", "request.json", "--stream", "prod"), USAGE, "request.json")


def test_prune_carries_out_a_plan_although_the_file_says_how_many_to_keep() -> None:
    write('[site]\nto = "oci:x"\nkeep = 2\nstate = "state"\n')
    failed(here("prune", "--apply", "plan.json"), USAGE, "no import is recorded")
    failed(here("prune"), USAGE, "no import is recorded")


def test_missing_option_names_the_other_ways_to_say_it() -> None:
    failed(here("import", "x"), USAGE, "'--to'", "airgap.toml", "AIRGAP_TO")


def test_repeated_options_are_separated_by_newlines_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRGAP_GATE", "trivy image {registry}\n./scan.sh {layout}\n")
    assert shown("gate") == (["trivy image {registry}", "./scan.sh {layout}"], "AIRGAP_GATE")


def test_wrong_value_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRGAP_PARITY", "many")
    failed(here("export", "x"), USAGE, "AIRGAP_PARITY")
    monkeypatch.setenv("AIRGAP_PARITY", "")
    monkeypatch.setenv("AIRGAP_REQUIRE_SIGNED", "perhaps")
    failed(here("import", "x"), USAGE, "AIRGAP_REQUIRE_SIGNED", "neither on nor off")


def test_error_is_json_if_the_environment_asks_for_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRGAP_JSON", "1")
    facts = json.loads(here("inspect", "missing").stdout)
    assert (checked(facts), facts["exit_code"]) == ("error", USAGE)
    assert checked(json.loads(here("version").stdout)) == "version"
    assert here("inspect", "missing", "--no-json").stdout == ""


def test_show_says_where_values_come_from_what_is_not_set_and_which_variables_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[stream.prod]\nlists = "a.txt"\nparity = 1\n[stream.edge]\nlists = "b.txt"\n')
    monkeypatch.setenv("AIRGAP_PARITY", "3")
    monkeypatch.setenv("AIRGAP_POLCY", "x")
    monkeypatch.delenv("AIRGAP_REQUIRE_TOOLS", raising=False)  # as .ci/run sets it
    facts = json.loads(here("config", "show", "prod", "--json").stdout)
    assert [section["section"] for section in facts["sections"]] == ["stream.prod"]
    values = {one["option"]: (one["value"], one["given_by"], one["where"]) for one in facts["sections"][0]["options"]}
    assert values["parity"] == ("3", "environment", "AIRGAP_PARITY")
    assert values["lists"] == (["a.txt"], "file", "airgap.toml:2:1")
    assert values["patch"] == ("auto", "default", "")
    assert "volume-size" in facts["sections"][0]["not_set"]
    assert facts["unknown_variables"] == {"AIRGAP_POLCY": "did you mean AIRGAP_POLICY?"}
    monkeypatch.setenv("AIRGAP_QUUX", "x")
    lines = here("config", "show").stdout.splitlines()
    assert "[stream.edge]" in lines
    assert "unknown      AIRGAP_POLCY: did you mean AIRGAP_POLICY?" in lines
    assert "unknown      AIRGAP_QUUX" in lines
    failed(here("config", "show", "prd"), USAGE, "no such stream", "did you mean prod?")


def test_init_writes_a_file_whose_comments_are_keys_and_never_another_one() -> None:
    done = here("init", "--stream", "prod", "--list", "a b.txt", "--key", 'k"\\x', "--bundles", "out", "--to", "oci:store")
    assert done.returncode == 0, done.stderr
    assert shown("key") == (['k"\\x'], "airgap.toml:8:1")
    before = Path("airgap.toml").read_bytes()
    failed(here("init", "--stream", "other"), USAGE, "already exists")
    assert Path("airgap.toml").read_bytes() == before
    failed(here("init", "--out", "new.toml"), USAGE, "without a terminal")
    failed(here("init", "--list", "a", "--out", "new.toml"), USAGE, "--stream")
    failed(here("init", "--stream", "prod", "--to", "nowhere", "--out", "new.toml"), USAGE, "nowhere")
    assert not Path("new.toml").exists()
    done = here("init", "--stream", "prod", "--out", "-")
    assert tomllib.loads(done.stdout) == {"stream": {"prod": {}}}
    assert done.stderr == "next         airgap export prod; airgap config show\n"
    assert not Path("-").exists()


def test_every_example_of_a_new_file_is_valid() -> None:
    text = text_of(Answers(stream="prod", to="oci:x"))
    sections = text.split("\n\n", 1)[1]
    write("\n".join(re.sub(r'^# (\[|[a-z-]+ = |"[^"]+" = )', r"\1", line) for line in sections.splitlines()))
    done = here("config", "check")
    assert done.returncode == 0, done.stderr
    found = tomllib.loads(Path("airgap.toml").read_text())
    assert "state" in found["stream"]["prod"]
    assert {"repair", "receipt"} <= found["site"].keys()


def test_document_lists_every_key_with_its_values_and_commands() -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    for section, table in key_tables().items():
        assert f"### `[{section}]`\n\n{table}\n" in text, f"the table of [{section}] should be\n{table}"
