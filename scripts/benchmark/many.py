"""scripts/bench many: very many small images, near by: what each costs besides its bytes."""

from __future__ import annotations

from benchmark import far, stage

_DESCRIPTION = """\
As `scripts/bench far`, with a thousand images and no distance: an index of two platforms with one layer each and one signature,
exported and imported. What is measured is processor time and requests for an image.
"""
_EPILOG = """\
needs: docker-registry, skopeo. Examples:
  scripts/bench many --no-peers
  scripts/bench many --images 4000 --no-peers --before ../older/.venv/bin/airgap
"""


def main(arguments: list[str]) -> int:
    """Run the comparison; the exit code."""
    parser = stage.parser("scripts/bench many", _DESCRIPTION, _EPILOG)
    far.add_options(parser)
    parser.set_defaults(images=1000, milliseconds=0, runs=1)
    return far.run(parser.parse_args(arguments))
