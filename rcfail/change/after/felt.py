"""What clients of a shard felt of a change, as its canary did, and whether that is within the operator's limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.change.loss import Loss


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What a writer and a reader of one shard met, from their start to their end.

    A gap is the longest time in ms between one success and the next, up to the end of the watch; None where there
    was not one success. `*_open`: that longest gap was not over when the canary ended. `errors` are kinds of answers
    that were no success, the most frequent first. Each of the `written` attempts was `acknowledged`, answered with an
    error, or `unknown`: no answer came, so it may have been done. `lost` counts acknowledged writes that are not on
    the shard's owner at the end, out of `checked` ones; None where they could not be looked for. `appeared` are
    unknown writes that were found. `left` keys could not be removed, and end by themselves within `ttl_s`. `unready`
    says why no first write and read were acknowledged in time, and `why` why a figure is not known.
    """

    write_gap_ms: int | None = None
    read_gap_ms: int | None = None
    errors: tuple[tuple[str, int], ...] = ()
    written: int = 0
    acknowledged: int = 0
    unknown: int = 0
    lost: int | None = None
    lost_keys: tuple[str, ...] = ()
    checked: int = 0
    appeared: int = 0
    write_gap_open: bool = False
    read_gap_open: bool = False
    left: int = 0
    ttl_s: int = 0
    unready: str = ""
    why: str = ""


def limit_passed(
    felt: CanaryResult | None, loss: Loss, max_gap_ms: int | None = None, max_loss_bytes: int | None = None
) -> str:
    """Which limit was passed, in a sentence without its stop; "" when each that is given was kept.

    A figure that is not known does not count as kept: then the sentence says so.
    """
    return "; ".join((*_gap_passed(felt, max_gap_ms), *_loss_passed(felt, loss, max_loss_bytes)))


def _gap_passed(felt: CanaryResult | None, most_ms: int | None) -> Iterator[str]:
    if most_ms is None:
        return
    if felt is None:
        yield f"no canary measured the gap, so it cannot be said that --max-gap {most_ms} ms was kept"
        return
    for words, gap_ms in ((("written", "write"), felt.write_gap_ms), (("read", "read"), felt.read_gap_ms)):
        if gap_ms is None:
            yield f"the canary has {words[0]} nothing, so it cannot be said that --max-gap {most_ms} ms was kept"
        elif gap_ms > most_ms:
            yield f"clients could not {words[1]} for {gap_ms} ms, --max-gap is {most_ms} ms"


def _loss_passed(felt: CanaryResult | None, loss: Loss, most: int | None) -> Iterator[str]:
    if most is None:
        return
    known = loss.lost_bytes if loss.lost_bytes is not None else loss.lost_bytes_at_least
    writes = felt.lost or 0 if felt is not None else 0
    if known is not None and known > most:
        at_least = "" if loss.lost_bytes is not None else "at least "
        yield f"{at_least}{known} bytes were lost, --max-loss-bytes is {most}"
    elif writes > most:  # and each of them is more than one byte
        yield f"{writes} writes of the canary were lost, --max-loss-bytes is {most}"
    elif loss.lost_bytes is None:
        floor = f" (at least {known})" if known else ""
        yield f"it is not known how much was lost{floor}, so it cannot be said that --max-loss-bytes {most} was kept"
