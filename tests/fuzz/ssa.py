"""Play stories of server-side apply on our API server and on a real one, and show where they differ.

    .venv/bin/python tests/fuzz/ssa.py --state-dir .cozystack/e2e --first 0 --last 200

A story is drawn from its seed, so a seed plays it again. Exit code 1 when a difference is found that is not known.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.compare import Finding, finding
from fuzz.draw import story
from fuzz.play import play
from fuzz.servers import Embedded, Remote, Server, furnish, remote
from fuzz.shrink import shrunk
from fuzz.story import Story

_names = itertools.count()


async def compare(ours: Server, real: Remote, stories: Sequence[Story], *, tag: str, times: bool) -> list[Finding | None]:
    """What is first found different in each story. Without ``times`` it does not wait for a second of its own for each turn."""
    real.hurry = not times
    names = [f"{tag}{next(_names)}z" for _ in stories]
    left, right = await asyncio.gather(play(ours, stories, names, times=times), play(real, stories, names, times=times))
    return [finding(*each) for each in zip(stories, left, right, strict=True)]


async def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    running = msgspec.json.decode((options.state_dir / "state.json").read_bytes())
    tag = f"x{int(asyncio.get_running_loop().time() * 1000) % 10**8:x}-"
    seeds = range(options.first, options.last)
    found: dict[str, list[tuple[int, Finding]]] = defaultdict(list)
    async with remote(running["url"], running["token"]) as real:
        ours = Embedded()
        await furnish(ours)
        await furnish(real)
        for begin in range(0, len(seeds), options.batch):
            batch = seeds[begin : begin + options.batch]
            stories = [story(seed, options.kind, plain=options.plain) for seed in batch]
            for seed, each in zip(batch, await compare(ours, real, stories, tag=tag, times=not options.hurry), strict=True):
                if each is not None:
                    found[each.signature].append((seed, each))
            _say(f"{begin + len(batch)} of {len(seeds)} stories, {sum(map(len, found.values()))} differ")
        for signature, cases in sorted(found.items(), key=lambda item: -len(item[1])):
            seed, shown = min(cases, key=lambda case: len(msgspec.json.encode(case[1].story)))
            if options.shrink:
                shown = await _shrunk(shown, lambda stories, times: compare(ours, real, stories, tag=tag, times=times))
            others = " ".join(str(number) for number, _ in cases[:12])
            _say(f"\n=== {len(cases)} times: {signature}\n    seeds {others}; shown: {seed}")
            _show(shown)
    return 1 if found else 0


async def _shrunk(found: Finding, play_again: Callable[[Sequence[Story], bool], Awaitable[list[Finding | None]]]) -> Finding:
    """In a hurry, unless it is about times."""
    times = (await play_again([found.story], False))[0] is None
    return await shrunk(found, lambda stories: play_again(stories, times), rounds=10 if times else 60)


def _show(shown: Finding) -> None:
    for difference in shown.differences[:4]:
        _say(f"    {difference.where}\n      ours: {_text(difference.ours)}\n      real: {_text(difference.real)}")
    for index, step in enumerate(shown.story.steps[: shown.step + 1]):
        _say(f"  {'>' if index == shown.step else ' '} {msgspec.json.encode(step).decode()}  -> {shown.real[index].code}")
    if shown.step:
        _say(f"    before: {msgspec.json.encode(shown.real[shown.step - 1].body).decode()[:1500]}")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()[:900]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare our server-side apply with that of a real API server.")
    parser.add_argument(
        "--state-dir", type=Path, default=Path(".cozystack/e2e"), help="folder of the cluster with the real one"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--last", type=int, default=200, help="the seed after the last")
    parser.add_argument("--batch", type=int, default=200, help="stories that are played side by side")
    parser.add_argument("--kind", action="append", default=[], help="stories of this kind alone")
    parser.add_argument("--plain", action="store_true", help="draw nothing that is of a wrong type or unheard of")
    parser.add_argument("--hurry", action="store_true", help="do not compare times: no second of its own for each turn")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="show stories as they were drawn")
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
