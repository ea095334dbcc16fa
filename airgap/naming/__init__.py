"""What an image is called at the destination: by the operator's rules only. Pure."""
