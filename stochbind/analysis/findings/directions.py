"""Which way energy and signals go: every measure of direction, for each coupled pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.passes import Pass
from stochbind.analysis.transfer_entropy import TransferEntropy

DIRECTION = "direction"


def passes_of(setting: Setting, n_groups: int) -> Sequence[Pass]:
    """What adds up lagged correlations and bursts."""
    del setting, n_groups
    return ()


def findings(subject: Subject, transfer: TransferEntropy | None, chain: Any) -> list[Finding]:
    """All measures of direction."""
    del subject, transfer, chain
    return []
