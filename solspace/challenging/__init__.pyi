from .giving import GivenChallenges as GivenChallenges
from .kernel import psychophysical_kernels as psychophysical_kernels
from .stage import challenge_table as challenge_table
