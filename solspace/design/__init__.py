"""Which trials tell the solutions of a population apart, and what answers to them say.

A task declares challenges (`solspace.tasks.ChallengeFamily`); `answers` runs networks over them,
`design` chooses, `identify` takes answers.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
