from .names import solution_name as solution_name
from .registry import Label as Label
from .registry import get_label as get_label
from .registry import label_names as label_names
from .registry import label_network as label_network
from .registry import register_label as register_label
