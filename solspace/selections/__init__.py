"""Named selections of networks, chosen by hand and kept as a label."""
