"""What the logs of a run come to: tables of counts, and the report."""

from __future__ import annotations

from collections.abc import Sequence

from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.report.counts import RunningCounts, write_counts_csv
from vidan.pipeline.report.html import write_report
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.measures import write_flows_csv, write_queue_csv
from vidan.pipeline.report.recorded import RecordedRun, rule_to_record
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary, summarize, write_occupancy_csv
from vidan.pipeline.rule_book import RuleBook
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import EventLog


def refresh_counts(counts: RunningCounts, rules: RuleBook, folder: RunFolder, manifest: Manifest) -> None:
    """Writes counts.csv as of now, whole or not at all.

    Raises:
        PipelineError: If the log cannot be read or the table not be written.
    """
    draft = folder.counts.with_name(folder.counts.name + ".tmp")
    write_counts_csv(draft, counts.rows(rules.infos, _spans(manifest)))
    draft.replace(folder.counts)


def conclude(loaded: Loaded[RunConfig], folder: RunFolder, manifest: Manifest, rules: Sequence[RuleInfo]) -> Summary:
    """Counts what stands in the log, and writes it as tables and as a report.

    Args:
        loaded: The config.
        folder: Of the run.
        manifest: Is told the rules.
        rules: All that have events in the log.
    """
    config = loaded.config
    events, near_misses = EventLog(folder.events), EventLog(folder.near_misses)
    manifest.rules = [rule_to_record(rule) for rule in rules]
    spans = _spans(manifest)
    summary = summarize(events, rules, spans, config.output.interval_seconds, near_misses=near_misses)
    write_counts_csv(folder.counts, summary.counts)
    if folder.occupancy.name in manifest.outputs:
        write_occupancy_csv(folder.occupancy, summary)
    if folder.flows.name in manifest.outputs:
        write_flows_csv(folder.flows, summary.flows, summary.unseen)
    if folder.queue.name in manifest.outputs:
        write_queue_csv(folder.queue, summary.queues)
    if config.output.report:
        write_report(folder.report, RecordedRun(folder, manifest.to_record(), summary, events, near_misses))
    return summary


def _spans(manifest: Manifest) -> list[StreamSpan]:
    return [
        StreamSpan(
            record.name,
            record.seconds,
            record.seconds_expected,
            record.start_utc,
            record.gaps,
            tuple(record.drops.drops),
        )
        for record in manifest.streams
    ]
