"""`finetui doctor`: is this machine ready, and if not, which command mends it.

Each module is one area, each check in it a function that gives findings and raises nothing for what it finds:
  python_environment  the interpreter and what gets into its way      versions     installed against tested versions
  limits, storage     RAM, open files, disks                          libraries    whether each of them imports
  devices             cards, driver, torch's build                    arithmetic   whether their kernels compute right
  hub, model_worker   the hub, one model                              failed_runs  why one run did not end well
Whatever imports a library does it in another process (`trying`, `worker`). Not here: the terminal, which only the
screen knows, and how findings are printed (`tui_app.desk_commands.doctor`).
"""

from engine.doctor.diagnosis import Area, Asked, ModelAsked, diagnose
from engine.doctor.finding import Finding, worst

__all__ = ["Area", "Asked", "Finding", "ModelAsked", "diagnose", "worst"]
