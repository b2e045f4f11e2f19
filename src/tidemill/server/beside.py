"""What goes on beside the API: the loop, alerts and their delivery, vital signs, webhooks.

The loop brings libraries for data with it, which take longer to load, and more memory, than all
that the API needs. So it is made once the API answers, in a thread of its own, and not before there
is something for it to do: who only tracks runs has neither models in a policy nor endpoints.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tidemill.core.errors import TidemillError
from tidemill.home import Home
from tidemill.monitoring.health.records import Counts
from tidemill.server.losses import lost
from tidemill.server.repeating import Repeater
from tidemill.serving.supervisor import Supervisor
from tidemill.webhooks.dispatcher import Dispatcher

logger = logging.getLogger(__name__)
GUARD_SECONDS = 0.5
"""How often the health of candidates is looked at while one is being rolled out."""
ALERT_SECONDS = 5.0
"""How long an alert that only time makes due waits at the most."""
_BLINK = 0.01
_BREATH = 0.5
"""The shortest time between two looks whether there is work for the loop."""
_SWITCH_SECONDS = 0.0005


class Beside(threading.Thread):
    """Waits until the API answers, then does all the rest until it is to stop.

    Args:
        home: The home.
        supervisor: Of the workers.
        generation: Which route table the workers must serve before all is ready.
        traffic: Tells what the API has counted.
        tick: How often the loop goes around, in seconds.
        answers: Tells whether the API answers.
        ready: Is called once, when the API and the workers both do.
        give_up: Is called where this here fails, so that the API ends as well.
    """

    def __init__(
        self,
        home: Home,
        supervisor: Supervisor,
        generation: int,
        traffic: Callable[[], Counts],
        tick: float,
        *,
        answers: Callable[[], bool],
        ready: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        super().__init__(name="tidemill-loop")
        self._home = home
        self._supervisor = supervisor
        self._generation = generation
        self._traffic = traffic
        self._tick = tick
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._failure: BaseException | None = None
        self._answers, self._tell, self._give_up = answers, ready, give_up

    def run(self) -> None:
        try:
            while not self._answers():
                if self._stopping.wait(_BLINK):
                    return
            self._supervisor.wait(self._generation)
            self._tell()
            with ExitStack() as going_on:
                self._begin(going_on)
                if self._has_work_some_day():
                    self._begin_loop(going_on)
                    self._go_around()
        except BaseException as error:
            self._failure = error
            self._give_up()

    def finish(self) -> None:
        """Have everything come to its end, and raise what it failed with."""
        self._stopping.set()
        self._woken.set()
        if self.is_alive():
            self.join()
        if self._failure is not None:
            raise self._failure

    def _begin(self, going_on: ExitStack) -> None:
        """Begin with what every home needs."""
        from tidemill.server.vitals import SAMPLE_SECONDS, sampling

        home = self._home
        watching = Repeater("tidemill-alerts", home.alerts.tick, ALERT_SECONDS)
        delivering = Repeater("tidemill-delivery", home.dispatcher.flush, ALERT_SECONDS)
        sample = sampling(home, self._supervisor, self._traffic)
        vitals = Repeater("tidemill-vitals", sample, SAMPLE_SECONDS)
        for woken in (watching, delivering):
            home.db.watch(woken.wake)
        _settle()
        for thread in (watching, delivering, vitals):
            going_on.callback(thread.finish, ALERT_SECONDS)
            thread.start()
        going_on.enter_context(_telling(home))

    def _has_work_some_day(self) -> bool:
        """Wait until there is something for the loop to do; tell whether it comes to that."""
        self._home.db.watch(self._woken.set)
        while not self._stopping.is_set():
            self._woken.clear()
            if _has_work(self._home):
                return True
            self._woken.wait(self._tick)
            self._stopping.wait(_BREATH)
        return False

    def _begin_loop(self, going_on: ExitStack) -> None:
        """Begin with what endpoints and models need, which brings libraries for data with it."""
        from tidemill.monitoring.apart import Apart

        home = self._home
        looking = Apart()
        going_on.callback(looking.close)
        home.monitor.look_apart(looking, home.shelf.reference_source)
        assert home.controller  # whose rooms are many, and none is to be waited for later
        _settle()
        going_on.enter_context(_guarding(home, self._supervisor))

    def _go_around(self) -> None:
        """Let the loop go around until the end; a round that fails is not the last."""
        home = self._home
        rounds = (
            home.controller.tick,
            home.keeper.tend,
            lambda: home.keeper.notice(lost(self._supervisor.counts())),
        )
        while not self._stopping.is_set():
            for part in rounds:
                try:
                    part()
                except TidemillError as error:
                    logger.warning("the loop: %s", error)
                except Exception:
                    logger.exception("the loop failed this time around")
            self._stopping.wait(self._tick)


def _has_work(home: Home) -> bool:
    """Tell whether a policy names models or data, or something answers: else there is no loop."""
    try:
        policy = home.policy
    except TidemillError:
        return True  # the loop says what is wrong with it
    return bool(policy.models or policy.datasets or home.deployments.endpoints())


def _settle() -> None:
    """Have Python look for garbage seldom, and never in what is there for good.

    The writer's thread needs the interpreter back after each statement; by default it waits up to
    5 ms for an event loop that is busy, and every client with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(_SWITCH_SECONDS)


@contextmanager
def _telling(home: Home) -> Iterator[None]:
    """Have webhooks sent meanwhile, where they may be sent anywhere."""
    if home.webhooks.allowed.nothing:
        yield
        return
    dispatcher = Dispatcher(home.webhooks)
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()


@contextmanager
def _guarding(home: Home, supervisor: Supervisor) -> Iterator[None]:
    """Have the health of candidates watched meanwhile, whatever else the loop is doing."""
    stopping = threading.Event()
    guard = threading.Thread(
        target=_guard, args=(home, supervisor, stopping), name="tidemill-guard"
    )
    guard.start()
    try:
        yield
    finally:
        stopping.set()
        guard.join()


def _guard(home: Home, supervisor: Supervisor, stopping: threading.Event) -> None:
    from tidemill.serving.counters import ask_workers

    while not stopping.wait(GUARD_SECONDS):
        try:
            if home.controller.rolling:
                newest = home.deployments.generation()
                states = [s for s in supervisor.states() if s.generation >= newest]
                problems = {k: v for s in states for k, v in s.problems.items()}
                home.controller.guard(ask_workers(supervisor.url), problems)
        except TidemillError as error:
            logger.warning("the guard: %s", error)
        except Exception:
            logger.exception("the guard failed this time")
