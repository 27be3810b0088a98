"""Payloads that somebody altered: whatever the alteration, nothing of it is ever unpickled.

TOOSIMPLEQ_MUTATIONS says how many are tried (20,000).
"""

import os
import pickle
import random
from base64 import b64encode
from binascii import b2a_base64
from hashlib import blake2b
from unittest import mock

from django.test import SimpleTestCase, override_settings

from django_toosimple_q import payload
from django_toosimple_q.exceptions import UnreadablePayload

COUNT = int(os.environ.get("TOOSIMPLEQ_MUTATIONS") or 20_000)
ALPHABET = "ABCZabcz019+/=.-_ \n\x00é😀"
FIELDS, NAMES = ("args", "kwargs", "result"), ("t", "tt", "other.task")

opened = []


class Trap:
    def __reduce__(self):
        return opened.append, ("sprung",)


class MutationTests(SimpleTestCase):
    def test_none_is_unpickled_and_each_is_refused_in_the_same_way(self):
        chance = random.Random(0)
        with override_settings(SECRET_KEY="somebody else's"):
            foreign = payload.seal(Trap(), "args", "t")
        honest = [payload.seal(value, "args", "t") for value in (Trap(), [Trap()], ["x" * 9999])]
        donors = [*honest, foreign, b64encode(pickle.dumps(Trap())).decode()]

        with mock.patch.object(payload, "dbsafe_decode") as decode:
            for number in range(COUNT):
                mutated = mutate(chance, chance.choice(honest), donors)
                # Parts of several may add up to one of them again.
                if mutated in honest:
                    continue
                try:
                    payload.unseal(mutated, "args", "t")
                except UnreadablePayload:
                    continue
                self.fail(f"mutation {number} was taken: {mutated!r}")

        decode.assert_not_called()
        self.assertEqual(opened, [])


def mutate(chance, text, donors):
    """Return a text with one to three alterations."""
    for _ in range(chance.randint(1, 3)):
        text = chance.choice(MUTATIONS)(chance, text, donors)
    return text


def _replace(chance, text, donors):
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(ALPHABET) + text[place + 1 :]


def _insert(chance, text, donors):
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(ALPHABET) * chance.randint(1, 3) + text[place:]


def _delete(chance, text, donors):
    place = chance.randrange(len(text) + 1)
    return text[:place] + text[place + chance.randint(1, 9) :]


def _swap_case(chance, text, donors):
    place = chance.randrange(len(text) + 1)
    return text[:place] + text[place:].swapcase()


def _cross(chance, text, donors):
    """Put parts of other texts between the dots."""
    parts = text.split(".")
    other = chance.choice(donors).split(".")
    place = chance.randrange(len(parts))
    parts[place] = chance.choice(other)
    return ".".join(parts)


def _sign_anew(chance, text, donors):
    """Sign with a key that is not ours, as one who knows the code would."""
    body = text.rpartition(".")[0]
    message = f"{chance.choice(FIELDS)}:1:{chance.choice(NAMES)}:{body}".encode()
    signature = blake2b(message, key=chance.randbytes(32), digest_size=32).digest()
    return f"{body}.{b2a_base64(signature, newline=False).decode()}"


def _version(chance, text, donors):
    return chance.choice(["v0", "v1", "v1z", "v2", ""]) + text[text.find(".") :]


def _whole(chance, text, donors):
    return chance.choice([*donors[-2:], "", ".", "..", "v1..", text * 2, text.rpartition(".")[0]])


MUTATIONS = [_replace, _insert, _delete, _swap_case, _cross, _sign_anew, _version, _whole]
