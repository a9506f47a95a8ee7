"""A step of training that is recorded once."""
from .optimizer import Optimizer
class TrainStep: pass
