"""The exception tree, as users of the Python interface know it; devices/errors.py has it, being the lowest floor."""

from devices.errors import BadInput, BudgetNotMet, EdgeoptError, EnvironmentFault, Refused, WrongUsage

__all__ = ["BadInput", "BudgetNotMet", "EdgeoptError", "EnvironmentFault", "Refused", "WrongUsage"]
