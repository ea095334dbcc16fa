"""The schemas of everything in JSON that scripts may read: results of commands, and documents in files (docs/json.md)."""
