"""The demo: invented worlds, the reader that ships, and how both are made."""
