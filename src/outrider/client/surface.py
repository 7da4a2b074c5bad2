"""The methods of both clients, once. A function of `calls` becomes a method here, with its parameters and its words.

    class Surface:  send = Ask(calls.send)

    Outrider().send(mail)          Callable[P, Accepted]                         blocks
    AsyncOutrider().send(mail)     Callable[P, Coroutine[Any, Any, Accepted]]    is awaited

`Ask` is a descriptor: which of the two it is, the type of the object says, to type checkers too. `Go` and `Follow` do
the same for what is gone through with `for`, or `async for`.
"""

import abc
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, overload

from outrider.client import calls, template_calls
from outrider.client.calls import Call, Following, Listing
from outrider.client.core import Core
from outrider.client.records import Event
from outrider.client.steps import Steps, YieldingSteps

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(ABC):
    """Carries steps out while its caller waits."""

    core: Core

    @abstractmethod
    def carry_out(self, steps: Steps[T]) -> T:
        """Return what the steps return."""

    @abstractmethod
    def go_through(self, steps: YieldingSteps[T]) -> Iterator[T]:
        """Give what the steps yield."""


class Awaited(ABC):
    """Carries steps out while others run."""

    core: Core

    @abstractmethod
    async def carry_out(self, steps: Steps[T]) -> T:
        """Return what the steps return."""

    @abstractmethod
    def go_through(self, steps: YieldingSteps[T]) -> AsyncIterator[T]:
        """Give what the steps yield."""


class Ask(Generic[P, T]):
    """A method that carries out one call."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make: Final = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Blocking | Awaited | None, owner: type) -> object:
        if client is None:
            return self

        @functools.wraps(self._make)
        def ask(*arguments: P.args, **named: P.kwargs) -> object:
            return client.carry_out(client.core.run(self._make(*arguments, **named)))

        return ask


class _Going(abc.ABC, Generic[P, T]):
    def __init__(self, make: Callable[P, Any]) -> None:
        self._make: Final = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Awaited, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Blocking | Awaited | None, owner: type) -> object:
        if client is None:
            return self

        @functools.wraps(self._make)
        def go(*arguments: P.args, **named: P.kwargs) -> object:
            return client.go_through(self._steps(client.core, self._make(*arguments, **named)))

        return go

    @abc.abstractmethod
    def _steps(self, core: Core, made: Any) -> YieldingSteps[T]:
        """Return the steps that go through what was `made`."""


class Go(_Going[P, T]):
    """A method that goes through a list."""

    def __init__(self, make: Callable[P, Listing[T]]) -> None:
        super().__init__(make)

    def _steps(self, core: Core, made: Listing[T]) -> YieldingSteps[T]:
        return core.pages(made)


class Follow(_Going[P, Event]):
    """A method that follows the stream of events."""

    def __init__(self, make: Callable[P, Following]) -> None:
        super().__init__(make)

    def _steps(self, core: Core, made: Following) -> YieldingSteps[Event]:
        return core.follow(made)


class Surface:
    """What can be asked of Outrider."""

    send = Ask(calls.send)
    send_batch = Ask(calls.send_batch)
    show = Ask(calls.show)
    show_content = Ask(calls.show_content)
    cancel = Ask(calls.cancel)
    resend = Ask(calls.resend)
    messages = Go(calls.messages)
    message_events = Go(calls.message_events)
    read_events = Ask(calls.read_events)
    events = Go(calls.events)
    follow_events = Follow(calls.follow_events)
    create_template = Ask(template_calls.create_template)
    templates = Go(template_calls.templates)
    show_template = Ask(template_calls.show_template)
    change_template = Ask(template_calls.change_template)
    publish_template = Ask(template_calls.publish_template)
    disable_template = Ask(template_calls.disable_template)
    enable_template = Ask(template_calls.enable_template)
    delete_template = Ask(template_calls.delete_template)
    template_versions = Go(template_calls.template_versions)
    preview_template = Ask(template_calls.preview_template)
    send_test = Ask(template_calls.send_test)
    put_partial = Ask(template_calls.put_partial)
    show_partial = Ask(template_calls.show_partial)
    delete_partial = Ask(template_calls.delete_partial)
    add_webhook = Ask(calls.add_webhook)
    webhooks = Go(calls.webhooks)
    show_webhook = Ask(calls.show_webhook)
    remove_webhook = Ask(calls.remove_webhook)
    call_webhook = Ask(calls.call_webhook)
    resume_webhook = Ask(calls.resume_webhook)
    rotate_webhook = Ask(calls.rotate_webhook)
    replay_webhook = Ask(calls.replay_webhook)
    request = Ask(calls.request)
