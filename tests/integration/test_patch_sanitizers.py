"""The compiled codec under AddressSanitizer and UBSan, over gzip, tokens and columns of every kind, cut short and damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.gzipkinds import write_seeds
from tests.support.tools import require

pytestmark = pytest.mark.slow("compiles and runs the codec under sanitizers")

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MUTATIONS = 40


@pytest.mark.parametrize(("target", "seeds_of"), [("decode", "decode"), ("encode", "encode"), ("columns", "encode")])
def test_no_input_makes_the_codec_read_or_write_out_of_bounds_or_break_its_promises(target, seeds_of, tmp_path):
    write_seeds(tmp_path)
    driver = tmp_path / "driver"
    sources = [str(ROOT / "tests/fuzz" / name) for name in (f"{target}.c", "mutate.c")]
    flags = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", *SANITIZE, f"-I{ROOT / 'airgap/native'}"]
    built = subprocess.run([require("gcc"), *flags, *sources, "-o", str(driver)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    seeds = sorted(str(path) for path in (tmp_path / seeds_of).iterdir())
    done = subprocess.run([str(driver), str(MUTATIONS), *seeds], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
