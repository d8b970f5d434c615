"""What carries callers of older versions to the newest one: a module for each version, all yours."""
