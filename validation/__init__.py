"""Experiments behind docs/validation.md, and checks of what ships."""
