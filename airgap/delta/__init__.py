"""What the site has already, and what therefore need not be carried, or only as a patch."""
