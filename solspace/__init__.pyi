# The one place where a public name is added: its line here makes `solspace.NAME` load when it is
# first used, puts it into `dir(solspace)` and `__all__`, and gives it its type in checkers.
# Write `NAME as NAME`; without that a stub keeps the name to itself.

# Packages that docs name in full, so that `import solspace` is enough to use them.
from . import attractors as attractors
from . import design as design
from . import diversity as diversity
from . import features as features
from . import labels as labels
from . import networks as networks
from . import plots as plots
from . import reduction as reduction
from . import responses as responses
from . import similarity as similarity
from . import stability as stability
from . import tasks as tasks
from . import training as training
from . import two_neuron as two_neuron
from . import verification as verification
from .attractors.stage import find_attractors as find_attractors
from .classification.stage import classify as classify
from .classification.transfer import classify_across as classify_across
from .diversity.coverage import solution_coverage as solution_coverage
from .diversity.difference import compare_solutions as compare_solutions
from .errors import SolspaceError as SolspaceError
from .features.stage import extract_features as extract_features
from .info import describe as describe
from .labels.registry import label_network as label_network
from .labels.registry import register_label as register_label
from .labels.stage import label as label
from .networks.base import Architecture as Architecture
from .population.create import new_population as new_population
from .population.importing import import_networks as import_networks
from .population.importing import read_networks as read_networks
from .population.table import concat as concat
from .population.table import network_table as network_table
from .population.variables import Variable as Variable
from .population.weights import network_weights as network_weights
from .recordings.building import recording_from_arrays as recording_from_arrays
from .recordings.building import recording_from_spikes as recording_from_spikes
from .recordings.joining import average_trials as average_trials
from .recordings.joining import join_recordings as join_recordings
from .recordings.joining import stack_units as stack_units
from .recordings.nwb import recording_from_nwb as recording_from_nwb
from .recordings.nwb import write_nwb as write_nwb
from .recordings.simulated import observe as observe
from .recordings.stage import classify_recordings as classify_recordings
from .reduction.stage import graph_of as graph_of
from .reduction.stage import reduce as reduce
from .report.page import write_report as write_report
from .responses.stage import find_responses as find_responses
from .run.comparing import compare_networks as compare_networks
from .run.loop import run_stage as run_stage
from .run.populations import add_population as add_population
from .run.populations import create_population as create_population
from .run.populations import pack as pack
from .simulation.stage import extrapolate as extrapolate
from .simulation.stage import record as record
from .stability.stage import label_stability as label_stability
from .stages.architectures import register_architecture as register_architecture
from .stages.decorator import stage as stage
from .store.check import check_store as check_store
from .store.handle import open_population as open_population
from .store.migrate import migrate as migrate
from .store.shipped import dataset_names as dataset_names
from .store.shipped import load_dataset as load_dataset
from .store.tree import open_store as open_store
from .tasks import Recipe as Recipe
from .tasks import Task as Task
from .tasks import Trials as Trials
from .tasks import get_task as get_task
from .tasks import load_tasks as load_tasks
from .tasks import register_task as register_task
from .training.stage import train as train
from .verification.stage import verify as verify

__version__: str
