"""Whether graphs allow what networks do, and forbid what others do."""
