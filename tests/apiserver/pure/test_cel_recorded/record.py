"""Record what kube-apiserver's own libraries answer to ``questions.jsonl``, into ``answers.jsonl``.

Needs Go: ``go build -o /tmp/recorder . && python record.py /tmp/recorder``. The tests read the recording alone. Expressions are
about the value and the schema of ``subject.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def asked(question: dict[str, Any], subject: dict[str, Any]) -> dict[str, Any]:
    """A question as the recorder reads it."""
    return {"mode": "expr", **subject, **question} if "expr" in question else question


def main() -> None:
    subject = json.loads((HERE / "subject.json").read_text())
    questions = [json.loads(line) for line in (HERE / "questions.jsonl").read_text().splitlines()]
    sent = "".join(json.dumps(asked(question, subject)) + "\n" for question in questions)
    said = subprocess.run([sys.argv[1]], input=sent, capture_output=True, text=True, check=True)
    (HERE / "answers.jsonl").write_text(said.stdout)


if __name__ == "__main__":
    main()
