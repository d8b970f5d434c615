"""What carries callers of older versions to the newest one: a module a version, all yours."""
