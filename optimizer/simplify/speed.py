"""stub"""
from optimizer.simplify import Simplified
def speed_up(data, feeds, faster, progress): return Simplified(data, ())
