"""The bounded memory of answers."""

from __future__ import annotations

from accounts.recent import Recent


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_lives_for_its_time_and_no_longer() -> None:
    clock = Clock()
    memory: Recent[str] = Recent(ttl_s=5, capacity=10, clock=clock)
    memory.put("a", "yes")
    clock.now += 4.9
    assert memory.get("a") == "yes"
    clock.now += 0.2
    assert memory.get("a") is None


def test_an_answer_may_live_shorter() -> None:
    clock = Clock()
    memory: Recent[str] = Recent(ttl_s=5, capacity=10, clock=clock)
    memory.put("a", "yes", at_most_s=1)
    clock.now += 1.1
    assert memory.get("a") is None


def test_the_oldest_answers_make_room() -> None:
    memory: Recent[int] = Recent(ttl_s=5, capacity=3)
    for number in range(10):
        memory.put(str(number), number)
    assert len(memory) == 3
    assert memory.get("9") == 9
    assert memory.get("6") is None


def test_an_answer_given_anew_is_young_again() -> None:
    memory: Recent[int] = Recent(ttl_s=5, capacity=2)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.put("a", 3)
    memory.put("c", 4)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (3, None, 4)


def test_answers_are_forgotten_on_demand() -> None:
    memory: Recent[int] = Recent(ttl_s=5, capacity=3)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.forget("a")
    memory.forget("never known")
    assert (memory.get("a"), memory.get("b")) == (None, 2)
    memory.clear()
    assert len(memory) == 0
