from .key import attractor_key as attractor_key
from .network import Settled as Settled
from .network import settle_network as settle_network
from .network import silent_states as silent_states
from .settling import Attractor as Attractor
from .settling import Attractors as Attractors
from .settling import Settling as Settling
