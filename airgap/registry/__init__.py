"""Registries as sources and targets of images, over the OCI distribution-spec. The only package that knows ``requests``."""

from airgap.registry.credentials import Credential, CredentialStore
from airgap.registry.options import RegistryOptions
from airgap.registry.store import RegistryStore

__all__ = ["Credential", "CredentialStore", "RegistryOptions", "RegistryStore"]
