"""scripts/bench small: a small job, of which the fixed costs are a good part."""

from __future__ import annotations

from benchmark import bare, stage

_DESCRIPTION = """\
As `scripts/bench bare`, with four images of 348 MB together and beside the others that PATH has (skopeo, regctl), which copy image
after image into a layout: starting, planning, sealing and signing are a good part of such a job.
"""
_EPILOG = """\
needs: docker-registry, skopeo, openssl, Python 3.11. Example:
  scripts/bench small --before ../older/.venv/bin/airgap
"""
#: What export may take of regctl's wall time, both with `sync`.
_WANTED = 0.9


def main(arguments: list[str]) -> int:
    """Run the comparison; 1 when what is wanted was missed."""
    parser = stage.parser("scripts/bench small", _DESCRIPTION, _EPILOG)
    bare.add_options(parser)
    parser.set_defaults(images=4, size=348, peers=True)
    rows = bare.run(parser.parse_args(arguments))
    ours = rows["airgap: export"]
    ratios = {name: ours["wall"] / row["wall"] for name, row in rows.items() if name.endswith(": export") and row is not ours}
    for name, ratio in ratios.items():
        print(f"airgap's export takes {ratio:.2f} of the wall time of {name}, with sync")
    return 0 if ratios.get("regctl: export", 0.0) <= _WANTED else 1
