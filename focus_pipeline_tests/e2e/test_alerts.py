"""Alerts of a running Dagster whose daemon, code location and webserver are killed again and again."""

import time
from pathlib import Path

import pytest

from focus_pipeline.alerts.outbox import read_outbox
from focus_pipeline.months import current_month
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.e2e.dagster_server import await_true, kill_session, running_dagster
from focus_pipeline_tests.e2e.deliveries import CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import clone_project
from focus_pipeline_tests.fakes.alert_receivers import web_hook
from focus_pipeline_tests.month_files import charges_of, write_csv

MONTH = current_month()
# The month's costs are no numbers, and no text that FOCUS allows for one either.
BEGINS = f"{CONNECTION} {MONTH}: not accepted, and 1 more problem"
ALERTS = """\
type: focus_pipeline.Alerts
attributes:
  channels:
    hook: "{{ env.ALERTS_URL }}"
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_restart_of_everything_loses_and_doubles_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = tmp_path / "bucket"
    deliver_months(bucket, [MONTH], broken=MONTH)
    project = clone_project(
        tmp_path / "clone", {CONNECTION: {"url": str(bucket), "check_every_seconds": 5, "lookback_months": 0}}
    )
    (project.root / "focus_pipeline" / "defs" / "alerts").mkdir()
    (project.root / "focus_pipeline" / "defs" / "alerts" / "defs.yaml").write_text(ALERTS)
    with web_hook() as hook:
        monkeypatch.setenv("ALERTS_URL", hook.url)
        hook.answers = [503, 503]
        with running_dagster(project) as dagster:
            await_true(lambda: hook.asked, 180, "nothing was told")
            kill_session(dagster.session)
        assert hook.taken == []
        with running_dagster(project) as dagster:
            await_true(lambda: hook.taken, 240, "what waited was not sent after a restart")
            kill_session(dagster.session)
        with running_dagster(project) as dagster:
            time.sleep(75)  # two looks
            assert hook.titles == [BEGINS]
            write_csv(bucket / MONTH / "expenses.csv", charges_of(MONTH, 50, BilledCost="1.50"))
            await_true(lambda: len(hook.taken) > 1, 180, "the end was not told")
            kill_session(dagster.session)
        with running_dagster(project):
            time.sleep(75)
        assert hook.titles == [BEGINS, f"{CONNECTION} {MONTH}: resolved"]
        outbox = read_outbox(DataDir(project.data_dir))
        assert (outbox.told, outbox.messages) == ({}, ())
    log = (project.root / "dagster.log").read_text()
    assert "focus_alerts" in log
    assert hook.url not in log
