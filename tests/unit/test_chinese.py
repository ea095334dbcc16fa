"""Messages in Chinese: the catalogue and the sources hold together, and finished lines are recognised by their shape."""

from __future__ import annotations

import gettext
import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from airgap.cli.terminal import translated
from airgap.cli.terminal.cells import cells
from airgap.cli.terminal.translated import DOMAIN, LOCALE, PHRASES, Phrases

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from reference.phrases import told  # noqa: E402

_HOLES = re.compile(r"\{(?:n|\d+)\}")
_OPTIONS = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


@cache
def chinese() -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE, ["zh_CN"])


@cache
def pairs() -> list[tuple[str, str]]:
    known = json.loads(PHRASES.read_bytes())
    found = [(one, chinese().gettext(one)) for one in known["phrases"]]
    found += [(text, chinese().ngettext(one, many, 2)) for one, many in known["counts"] for text in (one, many)]
    return found + [(one, chinese().pgettext("label", one)) for one in known["labels"]]


@cache
def phrases() -> Phrases:
    labels = set(json.loads(PHRASES.read_bytes())["labels"])
    sentences = {one: shown for one, shown in pairs() if one != shown and one not in labels}
    return Phrases(sentences, {one: shown for one, shown in pairs() if one in labels})


def test_the_catalogue_is_what_the_sources_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/make-catalogue"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_sentence_of_carriers_and_sites_has_its_chinese() -> None:
    found = told(ROOT)
    catalogue = chinese()
    lacking = [one for one in found.phrases if not catalogue.gettext(one) or _is_left(one, catalogue.gettext(one))]
    lacking += [one for one, many in found.counts if catalogue.ngettext(one, many, 2) == many]
    lacking += [one for one in found.labels if catalogue.pgettext("label", one) == one]
    assert lacking == []
    assert len(found.phrases) > 1500


def _is_left(english: str, chinese: str) -> bool:
    """Only what is no sentence - a header, a command, the name of a kind of key - may stay as it is."""
    own = _HOLES.sub("", english)
    return english == chinese and len(own.split()) > 6


def test_every_translation_has_the_values_and_the_options_of_its_sentence() -> None:
    wrong = [one for one, shown in pairs() if sorted(_HOLES.findall(one)) != sorted(_HOLES.findall(shown))]
    wrong += [one for one, shown in pairs() if set(_OPTIONS.findall(one)) != set(_OPTIONS.findall(shown))]
    assert wrong == []


@pytest.mark.parametrize(
    ("english", "shown"),
    [
        ("result       good: everything is here and undamaged", "结果         完好：全部都在这里，且无损"),
        ("bundle       s-0001: 1 image, 2 volumes, 1.3 GB", "数据包       s-0001：1 个镜像，2 卷，1.3 GB"),
        ("error: no such directory", "错误：没有这样的目录"),
        ("loaded       a/b:1 -> host/a/b:1", "已载入       a/b:1 -> host/a/b:1"),
        ("nothing of the kind was ever written", "nothing of the kind was ever written"),
        ("missing", "missing"),
        ("  indented: 3 images", "  indented：3 个镜像"),
        ("first line\nerror: no such directory", "first line\n错误：没有这样的目录"),
        ("", ""),
    ],
    ids=["result", "facts", "error", "label", "not-ours", "a-word", "indented", "two-lines", "nothing"],
)
def test_a_line_is_recognised_by_its_shape(english: str, shown: str) -> None:
    assert phrases().translated(english) == shown


def test_a_name_that_is_a_word_of_ours_stays_a_name() -> None:
    assert "docker.io/damaged/missing:good" in phrases().translated("loaded       docker.io/damaged/missing:good -> oci:x")


def test_columns_stay_columns() -> None:
    for english in (
        "bundle       x: 1 image",
        "left out     y: volumes are missing",
        "to send      1 B in 1 blob; 3 already there",
    ):
        shown = phrases().translated(english)
        label = re.match(r"\S+( \S+)*  +", shown)
        assert label is not None
        assert cells(label[0]) == 13


def test_hostile_values_cost_no_more_than_their_length() -> None:
    """Every literal of a sentence again and again in a value: one pass each, and no more than the allowed depth."""
    for text in ("is in of on: , ; (" * 400, "a; b, c: " * 600, ") (" * 2000, "{0}{1}{n}" * 500, "volume 1 of " * 600):
        assert isinstance(phrases().translated(text), str)


def test_a_stream_that_cannot_show_chinese_gets_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translated, "_phrases", phrases)
    for encoding, shown in (
        ("ascii", "no such directory"),
        ("latin-1", "no such directory"),
        ("utf-8", "没有这样的目录"),
        ("gb18030", "没有这样的目录"),
    ):
        assert translated.translated("no such directory", io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == shown


@pytest.mark.parametrize(
    ("environment", "begins"),
    [
        ({"LANGUAGE": "zh_CN"}, "airgap: 错误：没有这样的目录\n  位置:     /nowhere\n"),
        ({"LANG": "zh_CN.UTF-8"}, "airgap: 错误："),
        ({"LC_MESSAGES": "zh_CN.GB18030"}, "airgap: 错误："),
        ({"LANGUAGE": "fr:zh_CN"}, "airgap: 错误："),
        ({"LANG": "de_DE.UTF-8"}, "airgap: error: no such directory\n"),
        ({"LANGUAGE": "zh_CN", "PYTHONIOENCODING": "ascii"}, "airgap: error: no such directory\n"),
    ],
    ids=["language", "lang", "messages", "second-choice", "no-catalogue", "no-encoding"],
)
def test_the_language_is_that_of_the_environment_and_json_stays_english(environment: dict[str, str], begins: str) -> None:
    settings = {"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1", "HOME": "/nonexistent", **environment}
    command = [sys.executable, "-m", "airgap", "media", "check", "/nowhere", "--json"]
    done = subprocess.run(command, capture_output=True, env=settings, check=False, cwd=ROOT)
    assert done.stderr.decode().startswith(begins)
    assert json.loads(done.stdout)["error"] == "no such directory"
