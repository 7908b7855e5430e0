"""Errors cross from process to process."""

import pickle

from momalisa import errors


def test_every_error_is_the_same_after_a_journey() -> None:
    busy = pickle.loads(pickle.dumps(errors.BusyError("come back", 3.5)))
    assert (str(busy), busy.retry_after_s) == ("come back", 3.5)
    fields = pickle.loads(pickle.dumps(errors.FieldsError({"seed": "too large"})))
    assert fields.fields == {"seed": "too large"}
    plain = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in set(plain) - {errors.BusyError, errors.FieldsError}:
        assert str(pickle.loads(pickle.dumps(kind("words")))) == "words"
