"""What may happen to a dyno, one function a cell of ``table.TABLE``: its next state, and what is to be done."""

from procman.core.dyno import Dyno, State
from procman.core.effects import Effect, Kill, Say, Spawn, Terminate
from procman.core.events import Adopted, CheckFailed, DynoEvent, Exited, Spawned, SpawnFailed, Superseded
from procman.core.health import spelt
from procman.core.restart import NEVER
from procman.typed import Callable, Iterable

Cell = Callable[[Dyno, DynoEvent, float], Iterable[Effect]]


def ignore(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Nothing to do: the news changes neither wish nor fact."""
    return ()


def impossible(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """News that cannot come in this state. Dropped: a supervisor must survive its own surprises."""
    return ()


def note_wanted(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Wanted again: while it ends, it will be started when it is gone; before it began, it may begin after all."""
    dyno.wanted = True
    return ()


def note_unwanted(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No longer wanted while it cannot be stopped yet, or is ending anyway."""
    dyno.wanted = False
    return ()


def let_go(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No longer wanted while it ends, for whatever reason that was."""
    dyno.wanted, dyno.asked = False, True
    return ()


def launch(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Ask for a process: a first start, or the next try after a crash. Not before what it needs is up."""
    dyno.wanted = True
    dyno.asked = False
    if dyno.lacks:
        yield from queue(dyno, now)
        return
    dyno.run += 1
    dyno.finding, dyno.failures, dyno.sick = "", 0, False
    yield from dyno.enter(State.WAITING, now)
    yield Spawn(dyno.name, dyno.run)


def queue(dyno: Dyno, now: float) -> Iterable[Effect]:
    """Wait for others; who waits already has said so."""
    if dyno.state is not State.QUEUED:
        yield from dyno.enter(State.QUEUED, now)
        yield Say(dyno.name, f"Waiting for {dyno.lacks}")


def run(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The process exists. Types without a port to bind are up at once."""
    assert isinstance(event, Spawned)
    dyno.pid, dyno.unborn, dyno.started_at, dyno.overdue = event.pid, False, now, False
    if not dyno.wanted:
        yield from stop(dyno, event, now)
    else:
        yield from dyno.enter(State.UP if dyno.profile.boot_timeout is None else State.STARTING, now)


def adopt(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It runs since before there was this engine, and what was said of it then is not said again."""
    assert isinstance(event, Adopted)
    dyno.wanted, dyno.run, dyno.pid, dyno.started_at = True, event.run, event.pid, now - event.age
    dyno.state = State.UP if event.up or dyno.profile.boot_timeout is None else State.STARTING
    dyno.since, dyno.said = dyno.started_at, dyno.public()
    return ()


def fail_to_start(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No process could be made: a crash of a life of no length."""
    assert isinstance(event, SpawnFailed)
    dyno.unborn, dyno.spared, dyno.started_at, dyno.last_exit = True, False, now, event.exit
    yield Say(dyno.name, f"Process {event.exit.words()}")
    yield from rest(dyno, event, now)


def bind(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The port answers: up, unless more is asked of it."""
    return () if dyno.profile.check else dyno.enter(State.UP, now)


def pass_check(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It is healthy: up."""
    dyno.finding, dyno.failures = "", 0
    return dyno.enter(State.UP, now)


def fail_check(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Not yet; why is told if its time runs out."""
    assert isinstance(event, CheckFailed)
    dyno.finding = event.why
    return ()


def stay_healthy(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """A row of failures ends."""
    dyno.finding, dyno.failures = "", 0
    return ()


def sicken(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """One failure more; after so many it is ended, and tried again as after a crash."""
    assert isinstance(event, CheckFailed)
    dyno.finding, dyno.failures = event.why, dyno.failures + 1
    if not 0 < dyno.profile.failures <= dyno.failures:
        return
    dyno.sick = True
    times = f"{dyno.failures} times in a row" if dyno.failures > 1 else "once"
    yield Say(dyno.name, f"Health check failed {times}: {event.why}")
    yield from signal(dyno, now)


def time_out_boot(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """R10: kill as Heroku does, or warn and leave the process alone (a debugger may hold it)."""
    if now < dyno.deadline():
        return
    dyno.overdue = True
    seconds = dyno.profile.boot_timeout or 0.0
    failed = f"Process failed its health check ({dyno.finding or dyno.profile.check})"
    what = failed if dyno.profile.check else "Web process failed to bind to $PORT"
    yield Say(dyno.name, f"Error R10 (Boot timeout) -> {what} within {spelt(seconds)} of launch")
    if not dyno.profile.policy.boot_kills:
        return
    yield Say(dyno.name, "Stopping process with SIGKILL")
    yield from kill(dyno, event, now)


def crash(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The root process ended unasked, with whatever status: what it left behind is killed first."""
    yield from note_exit(dyno, event, now)
    yield from kill(dyno, event, now)


def stop(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The stop signal to every process of the dyno; the grace begins."""
    dyno.wanted = False
    return terminate(dyno, now)


def give_way(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The same, while a dyno of the next generation starts, or has, under the same name: one story in the log."""
    assert isinstance(event, Superseded)
    dyno.wanted = False
    if not event.quietly:
        yield Say(dyno.name, "Restarting")
        yield Say(dyno.name, f"State changed from {dyno.said} to starting")
    dyno.said = "down"
    yield from terminate(dyno, now)


def give_way_at_rest(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The next generation's tries its luck; this one does no more."""
    assert isinstance(event, Superseded)
    dyno.wanted = False
    if not event.quietly:
        yield Say(dyno.name, f"State changed from {dyno.said} to starting")
    dyno.said = "down"
    yield from dyno.enter(State.DOWN, now)


def give_way_in_line(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It has not begun; the next generation's waits in its place."""
    dyno.wanted, dyno.said = False, "down"
    return dyno.enter(State.DOWN, now)


def give_way_unheard(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It has hardly begun, or is ending already: the log goes on with the next generation's."""
    dyno.wanted, dyno.asked, dyno.said = False, True, "down"
    return ()


def cycle(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The daily restart; for a one-off dyno, the longest it may live (Heroku: dyno-restarts)."""
    if now < dyno.deadline():
        return
    dyno.wanted, dyno.crashes = dyno.wanted and not dyno.profile.one_off, 0
    yield Say(dyno.name, "Cycling")
    yield from terminate(dyno, now)


def replace(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The same, and a new run when it is over: a dyno's port is its own, so old and new cannot overlap."""
    dyno.crashes = 0
    yield Say(dyno.name, "Restarting")
    yield from terminate(dyno, now)


def replace_next(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It ends already: what comes next is a run that was asked for, without cool-off."""
    dyno.wanted = dyno.asked = True
    dyno.crashes = 0
    return ()


def launch_afresh(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Start at once, whatever went before (Heroku: ps:restart)."""
    dyno.crashes = 0
    return launch(dyno, event, now)


def terminate(dyno: Dyno, now: float) -> Iterable[Effect]:
    """The first half of every stop."""
    dyno.asked = True
    yield from signal(dyno, now)


def signal(dyno: Dyno, now: float) -> Iterable[Effect]:
    """The stop signal, and the grace begins."""
    yield from dyno.enter(State.STOPPING, now)
    yield Say(dyno.name, f"Stopping all processes with {dyno.profile.stop_signal}")
    yield Terminate(dyno.name, dyno.run, dyno.profile.stop_signal)


def note_exit(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The root process is gone; others of the dyno have the rest of the grace."""
    assert isinstance(event, Exited)
    long = now - dyno.started_at >= dyno.profile.policy.forgiven_after
    dyno.spared = long and dyno.profile.policy.spares_long_lives
    if long:
        dyno.crashes = 0
    sick = f"failed its health check: {dyno.finding}"
    dyno.pid, dyno.last_exit = None, event.exit._replace(reason=sick) if dyno.sick else event.exit
    yield Say(dyno.name, f"Process {event.exit.told()}")
    if event.exit.signal and not dyno.asked:
        yield Say(dyno.name, f"Process was {event.exit.words()}")
    elif event.exit.reason and not dyno.asked:
        yield Say(dyno.name, f"Status {event.exit.status} means {event.exit.reason}")
    yield from dyno.report()


def time_out_exit(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """R12: the grace is over."""
    if now < dyno.deadline():
        return
    yield Say(
        dyno.name,
        "Error R12 (Exit timeout) -> At least one process failed to exit within "
        f"{dyno.profile.grace:g} seconds of {dyno.profile.stop_signal}",
    )
    yield from kill_remaining(dyno, event, now)


def kill_remaining(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL to what a graceful stop left, or to all when nobody waits any longer."""
    dyno.asked = dyno.asked or not dyno.sick
    yield Say(dyno.name, "Stopping remaining processes with SIGKILL")
    yield from kill(dyno, event, now)


def kill(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL to every process; the dyno is at rest only when none is left."""
    yield from dyno.enter(State.KILLING, now)
    yield Kill(dyno.name, dyno.run)


def kill_again(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL was sent and something still lives (uninterruptible sleep, or forked meanwhile)."""
    if now >= dyno.deadline():
        yield from kill(dyno, event, now)


def rest(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Nothing of this run is left. The wish decides what comes next."""
    if dyno.profile.one_off:
        yield from dyno.enter(State.COMPLETE, now)
    elif not dyno.wanted:
        yield from dyno.enter(State.DOWN, now)
    elif dyno.asked:
        yield from launch(dyno, event, now)
    elif dyno.ended_well():
        yield from dyno.enter(State.COMPLETE, now)
    else:
        dyno.crashes += not dyno.spared
        yield from dyno.enter(State.CRASHED, now)
        yield from announce_next_try(dyno)
        yield from try_again(dyno, event, now)


def announce_next_try(dyno: Dyno) -> Iterable[Effect]:
    """A dyno in cool-off says why it died and when it is tried again; at once needs no words."""
    assert dyno.last_exit is not None
    why, wait = dyno.last_exit.words(), dyno.cool_off()
    if wait == NEVER:
        yield Say(dyno.name, f"Not restarted (policy {dyno.profile.policy.name}): {why}")
    elif wait > 0:
        yield Say(dyno.name, f"Next try in {describe(wait)}: {why}, crash {dyno.crashes} in a row")


def describe(seconds: float) -> str:
    """A wait as a person reads it: "0.5 s", "30 s", "10 min", "2.0 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def give_up(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No longer wanted, and nothing runs."""
    dyno.wanted = False
    return dyno.enter(State.DOWN, now)


def try_again(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The cool-off is over, or there was none."""
    if now >= dyno.deadline():
        yield from launch(dyno, event, now)
