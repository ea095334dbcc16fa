"""Who signed, and is that enough: keys, detached signatures, gpg, policy.json. Imports cryptography, as ``cipher`` does."""
