"""Runs a function in namespaces of its own, so that whatever it mounted and started is gone with it,
however it ends."""

import os
import signal
import sys

# behind our own folder, which has modules of the same names
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))
import kernel  # noqa: E402  (the system calls that Python lacks)

CLONE_NEWPID = 0x20000000


def run_enclosed(function):
    """Calls it in a child that is the first process of a pid namespace and has mounts of its own; its
    exit status. The child and all that it started die with this process."""
    kernel.unshare(CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        kernel._libc.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        status = 1
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
            kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
            kernel.mount("proc", "/proc", "proc")
            status = function()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(status)

    def end(_signal, _frame):
        os.kill(child, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status
