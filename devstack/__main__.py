"""`python -m devstack`: the command line behind the Makefile."""

import argparse
import os
import signal
import sys
import threading

from devstack import environment, logs
from devstack.errors import DevstackError
from devstack.java import java
from devstack.names import GATEWAY
from devstack.processes import ProcessTable
from devstack.providers import decide
from devstack.settings import Settings
from devstack.stack import Stack, summary
from devstack.status import status
from devstack.stores import ALL

OPERATORS_TOOLS = "ops"  # they may work on a system elsewhere, and say themselves what they lack


def main() -> int:
    """Exit with 1 and one message, without a traceback, on an expected failure."""
    arguments = _parser().parse_args()
    cancelled = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: cancelled.set())
    try:
        settings = Settings.load()
        _act(arguments, settings, Stack(settings, cancelled), cancelled)
    except DevstackError as error:
        print(f"devstack: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:  # such as a full disk
        print(f"devstack: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _act(arguments: argparse.Namespace, settings: Settings, stack: Stack, cancelled: threading.Event) -> None:
    match arguments.command:
        case "up":
            stack.up(arguments.only, observed=arguments.observability)
            print(summary(stack))
        case "restart":
            stack.restart()
        case "stores":
            endpoints = stack.start_stores()
            print("\n".join(f"export {name}={value}" for name, value in endpoints.environ().items()))
        case "down":
            stack.down(clean=arguments.clean)
        case "status":
            print(status(stack))
        case "logs":
            _follow(stack.table, arguments.name or [*ALL, *stack.names(), *stack.observability.names()], cancelled)
        case "run":
            _run(stack, arguments.name, arguments.arguments)
        case "provider":
            print(decide(settings, stack.state))
        case "java":
            print(java())


def _follow(table: ProcessTable, names: list[str], cancelled: threading.Event) -> None:
    for line in logs.follow(table, names, cancelled):
        print(line, flush=True)


def _run(stack: Stack, name: str, arguments: list[str]) -> None:
    """Become the deployable (instead of the running one) or a module such as `ops`, in the stack's environment."""
    if stack.table.find(GATEWAY) is not None:
        env = stack.environ(stack.provider().endpoints())
    elif name == OPERATORS_TOOLS:
        env = dict(os.environ)  # without .env, which is about this checkout
    else:
        raise DevstackError("Feedmill does not run here: make up")
    module = name
    for one in stack.deployables:
        if one.name == name:
            stack.table.stop(name)
            env, module = environment.deployable_environ(env, stack.state, one), one.module
    os.chdir(stack.settings.root)
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], env)  # noqa: S606 - no shell is wanted


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start all that does not run")
    up.add_argument("--only", type=lambda text: text.split(","), default=[], help="only these, as user,post")
    up.add_argument("--observability", action="store_true", help="also Prometheus, Alertmanager and Jaeger")
    commands.add_parser("restart", help="replace every process, without failing a request")
    commands.add_parser("stores", help="start the stores alone and print their addresses")
    down = commands.add_parser("down", help="stop all")
    down.add_argument("--clean", action="store_true", help="also delete the data")
    commands.add_parser("status", help="every process: state, pid, port, memory")
    commands.add_parser("logs", help="follow the logs").add_argument("name", nargs="*")
    run = commands.add_parser("run", help="a deployable or a module in the foreground, wired to the stores")
    run.add_argument("name")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("provider", help="where the stores come from: given, docker or processes")
    commands.add_parser("java", help="the Java that Kafka and Cassandra are started with")
    return parser


if __name__ == "__main__":
    sys.exit(main())
