"""Schedules that show one cause each: what the simulator once found by chance, in as few steps as it takes."""

import signal

from tests.simulator.schedule import PLAIN, Happening, Schedule, Script, Settings

DEV = ("dev", "dev", "dev")
BRIEF = Script(ends=0.0)

# While there is no supervisor, a dyno ends, and a stranger gets its number.
GAP = Schedule(
    Settings((("worker", 1),), DEV, span=3, detached=True),
    (Script(ends=1.5),),
    (Happening(1.0, "supervisor killed", (3,)), Happening(1.0, "strangers", (2, 1000.0)), Happening(3.0, "disk room")),
)
# The root of web.1 ends, and what is left of it hears no SIGKILL for a while. Nobody has the root's number, until a
# child of worker.1 leads a session by it, and ends too, but not its own child.
SESSION = Schedule(
    Settings((("web", 1), ("worker", 1)), DEV, span=6),
    (
        Script(ends=0.5, offspring=(Script(after=0.1, setsid=True, frozen=20.0),)),
        Script(
            offspring=(
                PLAIN._replace(after=1.0),
                BRIEF._replace(after=1.0),
                Script(after=1.1, setsid=True, ends=0.5, offspring=(PLAIN._replace(after=0.1),)),
            )
        ),
    ),
    (Happening(12.0, "disk room"),),
)
# The same with worker.1, of which the books still tell: they cannot be written anew. Then the supervisor is killed.
STALE_BOOKS = Schedule(
    Settings((("worker", 1), ("web", 1)), DEV, span=6, detached=True),
    (
        Script(ends=1.5),
        Script(
            offspring=(
                BRIEF._replace(after=1.9),
                BRIEF._replace(after=1.9),
                Script(after=2.0, setsid=True, ends=0.5, offspring=(Script(after=0.1, forgets=True),)),
            )
        ),
    ),
    (Happening(1.0, "disk full", (0,)), Happening(3.0, "supervisor killed", (0,)), Happening(3.0, "disk room")),
)
# A dyno takes its time to end, as its generation has been succeeded. A third is rolled out beside the second. Then the
# supervisor is killed.
GIVEN_UP = Schedule(
    Settings((("worker", 1),), DEV, book=True, detached=True),
    (Script(obeys=None),),
    (
        Happening(0.3, "succeed", ((("worker", 1),), [])),
        Happening(0.3, "roll out", ((("clock", 1),), [])),
        Happening(1.0, "supervisor killed", (0,)),
    ),
)
# All ends. The reader of the output stalls for longer than anybody waits for him; while the store is being closed, on a
# slow disk, he reads on.
LATE_READER = Schedule(
    Settings((("worker", 1),), DEV, room=4096, disk=3000),
    (Script(writes=((0.5, 9000),)),),
    (
        Happening(0.3, "reader stalls"),
        Happening(1.0, "disk slow", (5.0,)),
        Happening(0.02, "signal", (signal.SIGTERM, 0)),
        Happening(3.0, "reader reads"),
    ),
)
