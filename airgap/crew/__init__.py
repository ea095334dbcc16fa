"""Work on several machines; the only package that imports ``distributed``, and only with ``--scheduler`` (docs/adr/0038)."""
