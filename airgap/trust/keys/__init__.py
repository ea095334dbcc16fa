"""What a signature is: keys, certificates, OpenPGP and cosign, checked one by one."""
