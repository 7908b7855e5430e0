"""Things that are dear to keep."""

from momalisa.service.recent import Recent


def test_the_one_that_was_not_used_for_longest_goes_before_a_new_one_is_made() -> None:
    recent: Recent[str, str] = Recent(2)
    made: list[tuple[str, int]] = []

    def get(key: str) -> str:
        def make() -> str:
            made.append((key, len(recent)))
            return key.upper()

        return recent.get(key, make)

    assert [get(key) for key in "abaca"] == list("ABACA")
    assert made == [("a", 0), ("b", 1), ("c", 1)]
    assert get("b") == "B"
    assert made[-1] == ("b", 1)
