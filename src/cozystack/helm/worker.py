"""The process in which Helm's native library runs: requests on standard input, answers on standard output.

Frames are a four-byte length and JSON. Several requests run at once in threads, since the library gives Python's lock up while
it works. A fault in the library ends this process and nothing else. It ends by itself when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import yaml

MARK_LABEL = "operator.cozystack.io/mark"
LENGTH = struct.Struct(">I")


def read_frame(source: IO[bytes]) -> dict[str, Any] | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = source.read(size)
    return json.loads(body) if len(body) == size else None


def frame(value: Any) -> bytes:
    body = json.dumps(value).encode()
    return LENGTH.pack(len(body)) + body


class Worker:
    """Answers requests by the native library.

    Configurations of clusters are costly to make; each is kept while its kubeconfig stays the same.
    """

    def __init__(self) -> None:
        import helm_python
        from helm_python import _native

        self._helm = helm_python
        self._native = _native
        self._configs: dict[tuple[str, str], tuple[tuple[int, int], Any]] = {}
        self._lock = threading.Lock()

    def answer(self, operation: str, arguments: dict[str, Any]) -> Any:
        return getattr(self, f"_{operation}")(**arguments)

    def _hello(self) -> dict[str, str]:
        return {"helm": self._helm.helm_sdk_version(), "library": self._helm.helm_c_version()}

    def _config(self, target: dict[str, Any]) -> Any:
        key = (target["kubeconfig"], target["namespace"])
        found = Path(key[0]).stat()
        stamp = (found.st_mtime_ns, found.st_size)
        with self._lock:
            known, config = self._configs.get(key, ((0, 0), None))
            if config is None or known != stamp:
                # The library limits requests per second by default; one process with one user needs no limit.
                config = self._helm.Config(kubeconfig_path=key[0], namespace=key[1], qps=1000.0, burst_limit=1000)
                self._configs[key] = (stamp, config)
            return config

    def _render(
        self, chart: str, name: str, namespace: str, values: Any, kube_version: str, api_versions: Any, upgrade: bool
    ) -> Any:
        with self._helm.Chart.load(chart) as loaded:
            options: dict[str, Any] = {
                "name": name,
                "namespace": namespace,
                "kube_version": kube_version,
                "api_versions": list(api_versions),
            }
            options |= {"is_upgrade": True, "is_install": False} if upgrade else {}
            text = self._native.call_string("helm_render", loaded._raw(), json.dumps(values), json.dumps(options))
            manifests: dict[str, str] = json.loads(text)
            _check(loaded, manifests)
            notes = "".join(manifests.pop(path) for path in [p for p in manifests if p.endswith("NOTES.txt")])
            manifests = {path: text for path, text in manifests.items() if text.strip()}
            return {"manifests": manifests, "notes": notes, "crds": [_crd_text(crd) for crd in loaded.crds]}

    def _crds(self, chart: str) -> list[str]:
        with self._helm.Chart.load(chart) as loaded:
            return [_crd_text(crd) for crd in loaded.crds]

    def _lint(self, chart: str, values: Any) -> Any:
        return self._helm.lint(chart, values)

    def _install(self, **request: Any) -> Any:
        options = self._options(request)
        options |= {
            "create_namespace": request["create_namespace"],
            "skip_crds": request["skip_crds"],
            "replace": request["replace"],
        }
        return self._write("helm_install", request, options)

    def _upgrade(self, **request: Any) -> Any:
        options = self._options(request)
        options |= {"max_history": request["max_history"], "skip_crds": request["skip_crds"], "server_side_apply": "true"}
        # Without it, Helm takes the values of the revision before when it is given none.
        options["reset_values"] = True
        return self._write("helm_upgrade", request, options)

    def _options(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "namespace": request["target"]["namespace"],
            "timeout_seconds": max(1, int(request["target"]["timeout"])),
            "wait": "watcher" if request["wait"] else "hookOnly",
            "disable_hooks": request["disable_hooks"],
            "force_conflicts": request["force_conflicts"],
            "take_ownership": request["take_ownership"],
            "description": request["description"],
            "labels": {MARK_LABEL: request["mark"]} if request["mark"] else "",
        }

    def _write(self, function: str, request: dict[str, Any], options: dict[str, Any]) -> Any:
        options = {key: value for key, value in options.items() if value not in (False, "", 0)}
        config = self._config(request["target"])
        text = self._native.call_string(
            function,
            config._raw(),
            self._native.HANDLE(0),
            self._native.HANDLE(0),
            request["chart"],
            request["target"]["name"],
            json.dumps(request["values"]),
            json.dumps(options),
        )
        summary: dict[str, Any] = json.loads(text)
        # The write is done whatever happens to this read, so it must not fail for it.
        with contextlib.suppress(self._helm.HelmError):
            summary["info"] = config.get_all(request["target"]["name"])["info"]
        return summary

    def _rollback(self, target: dict[str, Any], revision: int) -> None:
        self._config(target).rollback(
            target["name"], version=revision or None, timeout=max(1, int(target["timeout"])), wait="hookOnly"
        )

    def _uninstall(self, target: dict[str, Any], keep_history: bool) -> None:
        self._config(target).uninstall(
            target["name"], keep_history=keep_history, timeout=max(1, int(target["timeout"])), wait="hookOnly"
        )

    def _status(self, target: dict[str, Any]) -> Any:
        found = self._config(target).get_all(target["name"])
        return {**found["summary"], "info": found["info"]}

    def _history(self, target: dict[str, Any]) -> Any:
        return self._config(target).history(target["name"])


def _check(chart: Any, manifests: dict[str, str]) -> None:
    """What the program looks at when it renders, and the library does not."""
    if chart.metadata.get("type") == "library":
        raise ValueError("library charts are not installable")
    wanted = [entry["name"] for entry in chart.metadata.get("dependencies") or ()]
    present = {entry.get("name") for entry in chart.dependencies}
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ValueError(f"found in Chart.yaml, but missing in charts/ directory: {', '.join(missing)}")
    for path, text in manifests.items():
        try:
            for _ in () if path.endswith("NOTES.txt") else yaml.parse(text, Loader=yaml.CSafeLoader):
                pass
        except yaml.YAMLError as error:
            raise ValueError(f"YAML parse error on {path}: {error}") from error


def _crd_text(crd: Any) -> str:
    if isinstance(crd, str):
        return crd
    return str(crd.get("data") or crd.get("manifest") or crd.get("content") or "") if isinstance(crd, dict) else str(crd)


def main() -> int:
    """Serve until the input ends."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # What the library prints by itself must not mix with the answers.
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(value: Any) -> None:
        data = frame(value)
        with lock:
            sink.write(data)
            sink.flush()

    try:
        worker = Worker()
    except Exception as error:
        send({"id": 0, "unavailable": str(error)})
        return 1
    send({"id": 0, "result": worker.answer("hello", {})})

    def run(request: dict[str, Any]) -> None:
        try:
            result = worker.answer(request["operation"], request["arguments"])
        except Exception as error:
            send({"id": request["id"], "error": str(getattr(error, "detail", "") or error), "kind": type(error).__name__})
        else:
            send({"id": request["id"], "result": result})

    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with ThreadPoolExecutor(threads) as pool:
        while (request := read_frame(source)) is not None:
            pool.submit(run, request)
    return 0


if __name__ == "__main__":
    sys.exit(main())
