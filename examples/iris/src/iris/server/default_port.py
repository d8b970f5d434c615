"""The port that this project was created with; the PORT setting overrides it."""

DEFAULT_PORT = 9000
