"""Run networks on trials: recorded on the training set, and far outside of it."""
