"""Registries as sources and targets of images, over the OCI distribution-spec. The only package that imports ``urllib3``."""

from airgap.registry.deletion import PrunableRegistry
from airgap.registry.lease import Lease, leased
from airgap.registry.mirrors import MirroredSource
from airgap.registry.settings.certificates import certs_directories
from airgap.registry.settings.credentials import Credential, CredentialStore, Login
from airgap.registry.settings.limits import Bucket
from airgap.registry.settings.options import RegistryOptions
from airgap.registry.settings.rulefiles import load_rules
from airgap.registry.settings.rules import Rules
from airgap.registry.store import RegistryStore
from airgap.registry.web import WebFiles

__all__ = [
    "Bucket", "Credential", "CredentialStore", "Lease", "Login", "MirroredSource", "PrunableRegistry", "RegistryOptions",
    "RegistryStore", "Rules", "WebFiles", "certs_directories", "leased", "load_rules",
]  # fmt: skip
