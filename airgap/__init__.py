"""airgap: carry container images across an air gap, nothing lost, nothing untrusted let in."""

__version__ = "0.1.0"
