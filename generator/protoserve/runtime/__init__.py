"""Modules that are copied into every project as they are; `bounds` serves the generator and `verify` as well."""
