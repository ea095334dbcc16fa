"""Who signed, and is that enough: keys, detached signatures, gpg, policy.json. The only package that imports cryptography."""
