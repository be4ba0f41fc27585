from .asking import answers as answers
from .asking import network_answers as network_answers
from .defining import defining_challenges as defining_challenges
from .identifying import chosen_challenges as chosen_challenges
from .identifying import identify as identify
from .information import corrected_entropy as corrected_entropy
from .information import corrected_information as corrected_information
from .planning import design as design
