"""Axes of a task in the space of units: along which activity tells choice, inputs and context."""
