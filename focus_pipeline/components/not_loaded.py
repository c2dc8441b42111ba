"""What the UI shows in the place of a connection, or of another component of ours, whose defs.yaml cannot be used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg


class NotLoadedError(Exception):
    """A connection or a mart cannot be loaded. The message says where and why, a line for each fault."""


@dataclass
class NotLoaded(dg.Component):
    """
    folder: where it is, below defs/. name: its own, or that of its folder where it says none. sentences: what is wrong,
    each with file and line. what: "connection", "mart" or another such word. attributes: as they are written.
    """

    folder: tuple[str, ...]
    name: str
    sentences: tuple[str, ...]
    what: str = "connection"
    attributes: Mapping[str, object] = field(default_factory=dict)

    def build_defs(self, context: dg.ComponentLoadContext | None) -> dg.Definitions:
        """An asset that stands for it, with a check that fails, and a sensor that fails until it is mended."""
        key = dg.AssetKey([*self.folder, "not_loaded"])
        said = "\n".join(self.sentences)

        @dg.asset_check(
            asset=key,
            name="loaded",
            description=f"The {self.what}'s defs.yaml can be used.",
        )
        def loaded() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=False, description=said)

        @dg.sensor(
            name=re.sub(r"[^A-Za-z0-9_]", "_", f"{'_'.join(self.folder)}_not_loaded"),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=60,
            description=f"Fails for as long as this cannot be used: {said}",
        )
        def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            if context.cursor == said:
                raise NotLoadedError(said)
            failed = dg.AssetCheckEvaluation(asset_key=key, check_name="loaded", passed=False, description=said)
            return dg.SensorResult(asset_events=[failed], skip_reason=said, cursor=said)

        return dg.Definitions(
            assets=[
                dg.AssetSpec(
                    key,
                    group_name="not_loaded",
                    description=f"The {self.what} {self.name} is not loaded. {said}\n\nMend it, then reload the code "
                    "location. Its months stay as they are meanwhile.",
                )
            ],
            asset_checks=[loaded],
            sensors=[sensor],
        )
