"""What counts: who signed a bundle or an image, and whether that is enough for the policy."""
