"""The command that looks for what is wrong."""

from __future__ import annotations

from dataclasses import asdict

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import Bad, print_json, print_table
from kombu_pool.operator.doctor import examine


@click.command("doctor")
@options.timeout
@options.as_json
@click.pass_context
def doctor(context: click.Context, timeout: float | None, as_json: bool) -> None:
    """Look for queues without a pool, pools that do not answer, orphaned queues, and settings that differ.

    Exits with 1 if something is wrong.
    """
    with open_broker(context) as broker:
        findings = examine(broker.store, broker.project, broker.declared, timeout)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        rows = [(Bad(finding.check), finding.subject, finding.problem) for finding in findings]
        print_table(("CHECK", "ON", "PROBLEM"), rows, empty="Nothing is wrong.")
    if findings:
        context.exit(1)
