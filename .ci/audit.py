"""Audit of what finetui stands on: every installed dependency is the pinned one, may be used, and has no known fault.

    python .ci/audit.py [--offline] [--index ADDRESS]

1. Each requirement of finetui and of its extras, and of theirs, is installed in the version that constraints.txt names,
   satisfies what asks for it, comes from an index (not from an address of its own), and has a licence that is allowed.
2. Advisories, where the package index answers: PyPI's JSON interface names those of each version, which come from the
   Python Packaging Advisory Database (pip-audit reads the same). One that `[tool.finetui.audit]` in pyproject.toml does
   not list with a reason fails, and so does a version that was withdrawn. Without a network this part is not done,
   which is said and is no failure.

Exit code 0, or 1 with one line for each finding. Not here: what installs (Makefile).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import re
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).parents[1]
INDEX = "https://pypi.org/pypi"
SECONDS = 4.0
MAX_BYTES = 32 * 1024**2
"""For one answer of the index."""
FIRST = 3
"""So many are asked for one by one, to learn whether there is an index at all."""
AT_ONCE = 12
OWN = "finetui"
LICENCES = re.compile(
    r"\b(MIT|MIT-0|Apache|BSD|0BSD|ISC|PSF|Python Software Foundation|Python-2\.0|MPL|Mozilla|Unlicense|CC0|Zlib|HPND|"
    r"LGPL|Lesser General Public|NVIDIA|CNRI|Public Domain)",
    re.IGNORECASE,
)
"""Licences under which a library may be used by a program under Apache-2.0. NVIDIA's is that of CUDA's own wheels."""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed dependency, its name in canonical form."""

    name: str
    version: str
    licence: str
    address: str
    """Where it was installed from, if from an address of its own; "" for an index."""


def main(arguments: list[str] | None = None) -> int:
    """Audit the interpreter's own environment; the exit code."""
    parser = argparse.ArgumentParser(description="Audit the installed dependencies of finetui.")
    parser.add_argument("--offline", action="store_true", help="ask no index for advisories")
    parser.add_argument("--index", default=INDEX, help="of PyPI's JSON interface")
    options = parser.parse_args(arguments)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    settings = project["tool"].get("finetui", {}).get("audit", {})
    pinned = pins((CHECKOUT / "constraints.txt").read_text())
    findings: list[str] = []
    packages = list(closure(project["project"], findings))
    findings += local_findings(packages, pinned, settings.get("licences", {}))
    accepted = settings.get("accepted", [])
    findings += [f"accepted advisory {each.get('id')} lacks a reason" for each in accepted if not each.get("reason")]
    audited = "not asked for (--offline)"
    if not options.offline:
        told, audited = advisories(options.index, packages, accepted)
        findings += told
    sys.stdout.write(f"audit: {len(packages)} dependencies, {len(findings)} findings; advisories: {audited}\n")
    sys.stdout.writelines(f"audit: {finding}\n" for finding in findings)
    return 1 if findings else 0


def pins(text: str) -> dict[str, str]:
    """Name -> version of a constraints file."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[canonicalize_name(name.strip())] = version.partition(";")[0].strip()
    return found


def closure(project: Mapping[str, Any], findings: list[str]) -> Iterator[Package]:
    """Every installed distribution that the project with its extras leads to. What is missing or wrong is a finding.

    What only an extra asks for may be absent: `gguf` is compiled, and not everybody wants it.
    """
    asked = [(Requirement(text), OWN, "") for text in project["dependencies"]]
    for extra, texts in project["optional-dependencies"].items():
        asked += [(Requirement(text), OWN, extra) for text in texts]
    seen: set[tuple[str, str]] = set()
    known: set[str] = set()
    while asked:
        wanted, by, extra = asked.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            if not (by == OWN and extra):
                findings.append(f"{wanted} is asked for by {by} and not installed")
            continue
        if not wanted.specifier.contains(Version(found.version), prereleases=True):
            findings.append(f"{name} {found.version} is installed, but {by} asks for {wanted.specifier}")
        if name not in known:
            known.add(name)
            yield Package(name, found.version, _licence(found), _address(found))
        for inner in ("", *sorted(wanted.extras)):
            if (name, inner) not in seen:
                seen.add((name, inner))
                asked += [(Requirement(text), name, inner) for text in found.requires or ()]


def local_findings(
    packages: Iterable[Package], pinned: Mapping[str, str], licences: Mapping[str, str]
) -> Iterator[str]:
    """What is wrong without asking anyone. `licences` are judged by a person: name -> why it may be used."""
    for each in packages:
        public = each.version.partition("+")[0]  # torch's build, as in 2.13.0+cpu, is not pinned
        if each.name not in pinned:
            # What CUDA builds of torch bring, torch pins itself.
            if not each.name.startswith(("nvidia-", "cuda-", "triton")):
                yield f"{each.name} {each.version} is installed and not pinned in constraints.txt"
        elif pinned[each.name] not in (public, each.version):
            yield f"{each.name} {each.version} is installed, constraints.txt pins {pinned[each.name]}"
        if each.address and not each.address.startswith("file:"):  # a wheel built here
            yield f"{each.name} {each.version} was installed from {each.address}, not from an index"
        if not LICENCES.search(each.licence) and each.name not in licences:
            told = each.licence or "no licence named"
            yield f"{each.name} {each.version}: {told}; if it may be used, say why in [tool.finetui.audit.licences]"


def advisories(index: str, packages: list[Package], accepted: list[dict[str, Any]]) -> tuple[list[str], str]:
    """Findings of the index, and in words what was asked."""
    if not packages or (fault := _fault_of(index, packages[:FIRST])):
        return [], f"could not be fetched ({fault}): NOT AUDITED"
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        records = list(pool.map(lambda each: _told(index, each), packages))
    reasons = {each["id"]: each.get("package") for each in accepted}
    findings, silent, met = [], [], set()
    for package, record in zip(packages, records, strict=True):
        if record is None:
            silent.append(package.name)
            continue
        if (record.get("info") or {}).get("yanked"):
            findings.append(f"{package.name} {package.version} was withdrawn from the index")
        for each in record.get("vulnerabilities", ()):
            names = {str(each.get("id")), *map(str, each.get("aliases") or ())}
            listed = {name for name in names & set(reasons) if reasons[name] in (None, package.name)}
            met |= listed
            if not each.get("withdrawn") and not listed:
                fixed = ", ".join(map(str, each.get("fixed_in") or ())) or "no version yet"
                what = f"{each.get('id')}, mended in {fixed}: {each.get('link', '')}"
                findings.append(f"{package.name} {package.version}: {what}")
    if not silent:
        unmet = sorted(set(reasons) - met)
        findings += [f"accepted advisory {name} concerns nothing that is installed" for name in unmet]
    said = f"{len(packages) - len(silent)} of {len(packages)} asked, {len(findings)} found"
    return findings, said + (f"; NOT AUDITED: {', '.join(silent)}" if silent else "")


def _fault_of(index: str, packages: list[Package]) -> str:
    """Why none of these packages is told of, "" where one is: an index may lack a single one."""
    fault = ""
    for package in packages:
        try:
            _asked(index, package)
        except urllib.error.HTTPError as refused:
            fault = f"HTTP {refused.code}"
        except (OSError, ValueError) as other:  # no network: the next one would wait as long
            return str(getattr(other, "reason", other)) or type(other).__name__
        else:
            return ""
    return fault


def _told(index: str, package: Package) -> dict[str, Any] | None:
    """What the index says of a version, None where it does not know it or does not answer."""
    try:
        return _asked(index, package)
    except (OSError, ValueError):
        return None


def _asked(index: str, package: Package) -> dict[str, Any]:
    """Raises OSError or ValueError where nothing that is an answer comes back."""
    address = f"{index}/{package.name}/{package.version.partition('+')[0]}/json"
    request = urllib.request.Request(address, headers={"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            record = json.loads(_read(answer))
    except http.client.HTTPException as broken:  # an answer that ends in the middle is no OSError
        raise ValueError(f"its answer is broken: {broken}") from broken
    told = record.get("vulnerabilities") if isinstance(record, dict) else None
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ValueError("its answers name no advisories")
    return record


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The whole answer. Raises ValueError for one too large or too slow: a byte now and then never times out."""
    end, content = time.monotonic() + SECONDS, b""
    while chunk := answer.read1(64 * 1024):
        content += chunk
        if len(content) > MAX_BYTES or time.monotonic() > end:
            raise ValueError("its answer does not end")
    if answer.length:
        raise ValueError("its answer ends too early")
    return content


def _licence(found: Distribution) -> str:
    """The licence in the words of the package: expression, classifiers, or the first line of the text."""
    about = found.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [each for each in about.get_all("Classifier") or () if each.startswith("License")]
    return "; ".join([*classifiers, (about.get("License") or "").strip()[:200]]).strip("; ")


def _address(found: Distribution) -> str:
    text = found.read_text("direct_url.json")
    # Never the whole address: it may hold a password.
    return re.sub(r"//[^/@]*@", "//", json.loads(text).get("url", "")) if text else ""


if __name__ == "__main__":
    sys.exit(main())
