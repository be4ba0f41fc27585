"""Which solution a recording is most like: networks seen through its electrodes, and a verdict."""
