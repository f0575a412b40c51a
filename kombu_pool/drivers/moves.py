"""The stored form of a queue's move, and of the messages that are put aside for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from kombu_pool.moves import Move, MovedMessage

_MOVE: Final = msgspec.msgpack.Decoder(Move)
_MESSAGE: Final = msgspec.msgpack.Decoder(MovedMessage)
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode_move(move: Move | None) -> bytes:
    """Return the stored form of a move; b"" for none."""
    # Decoded in between: a time that is an integer must not give it another stored form.
    return b"" if move is None else _ENCODER.encode(_MOVE.decode(_ENCODER.encode(move)))


@lru_cache(maxsize=1024)
def decode_move(stored: bytes | None) -> Move | None:
    """Return a move from its stored form; b"" and None stand for none."""
    return _MOVE.decode(stored) if stored else None


def encode_message(message: MovedMessage) -> bytes:
    """Return the stored form of a message."""
    return _ENCODER.encode(message)


def decode_message(stored: bytes) -> MovedMessage:
    """Return a message from its stored form."""
    return _MESSAGE.decode(stored)
