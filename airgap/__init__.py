"""airgap: carry container images across an air gap, nothing lost, nothing untrusted let in."""

#: The one place; pyproject.toml, man pages and catalogs take it from here.
__version__ = "0.2.0.dev0"
