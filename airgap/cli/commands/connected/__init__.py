"""Commands of the side with a network: discover, resolve, plan, export, merge, diff, login."""
