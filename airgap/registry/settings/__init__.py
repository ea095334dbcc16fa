"""What the operator and the containers configuration files say about registries."""
