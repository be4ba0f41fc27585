from .finding import FixedPoints as FixedPoints
from .finding import fixed_points as fixed_points
from .newton import Cell as Cell
from .newton import cell_of as cell_of
from .newton import jacobian as jacobian
from .stage import fixed_points_table as fixed_points_table
from .starting import constant_inputs as constant_inputs
from .starting import starts_of as starts_of
