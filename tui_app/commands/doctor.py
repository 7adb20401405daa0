"""`finetui doctor`: what keeps this machine from working, and the command that mends it."""

from __future__ import annotations

import argparse
import dataclasses
import json

from engine.doctor import diagnose
from engine.errors import DiagnosisError
from engine.run_dir import finetui_home


def doctor(options: argparse.Namespace) -> int:
    findings = diagnose(finetui_home() / "runs")
    for finding in findings:
        if options.json:
            print(json.dumps(dataclasses.asdict(finding)))
            continue
        print(f"{finding.status:<5} {finding.name:<22} {finding.found}")
        if finding.status != "ok" and finding.remedy:
            print(f"      {'':<22} -> {finding.remedy}")
    failed = any(finding.status == "fail" for finding in findings)
    return DiagnosisError.exit_code if failed else 0


COMMANDS = {"doctor": doctor}
