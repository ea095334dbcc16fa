"""What options mean: declared once, for every command that has them."""
