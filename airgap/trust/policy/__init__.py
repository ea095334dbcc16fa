"""The policy as a document (containers-policy.json(5)): requirements, scopes and names, parsed strictly."""
