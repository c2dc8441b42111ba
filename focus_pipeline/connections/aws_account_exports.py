"""The FOCUS exports of an AWS account, by the Data Exports API: what there is to connect.

Optional permissions: bcm-data-exports:ListExports and GetExport, and GetTable to say which columns an export leaves
out. Nothing else needs them.
"""

import re
from dataclasses import dataclass

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.connections.stores import not_understood, one_word
from focus_pipeline.connections.stores.s3 import session

# The API is in this region only, and lists the exports of all.
_REGION = "us-east-1"
_FOCUS_TABLE = re.compile(r"\bFOCUS_(\d+)_(\d+)_AWS(?:_PREVIEW)?\b")


@dataclass(frozen=True)
class AccountExport:
    """One export.

    table: such as FOCUS_1_2_AWS. granularity: "" where the table has none. url: of its own folder.
    left_out: the table's columns that the export's query does not select; None where GetTable is not granted.
    """

    name: str
    table: str
    granularity: str
    delivery: str
    url: str
    status: str
    left_out: tuple[str, ...] | None

    @property
    def focus_version(self) -> str:
        major, minor = _FOCUS_TABLE.search(self.table).groups()
        return f"{major}.{minor}"


def focus_exports(auth: S3Auth) -> list[AccountExport]:
    """The account's exports of a FOCUS table, by name.

    Raises StoreError where the API refuses or cannot be reached; the message names the permission that is missing.
    """
    try:
        client = session(auth, None).create_client("bcm-data-exports", region_name=_REGION)
        found = []
        for page in client.get_paginator("list_exports").paginate():
            for entry in page["Exports"]:
                export = client.get_export(ExportArn=entry["ExportArn"])["Export"]
                query = export["DataQuery"]
                if (table := _FOCUS_TABLE.search(query["QueryStatement"])) is not None:
                    settings = query.get("TableConfigurations", {}).get(table[0], {})
                    left_out = _left_out(client, query["QueryStatement"], table[0], settings)
                    found.append(_described(export, table[0], settings, entry["ExportStatus"]["StatusCode"], left_out))
        return sorted(found, key=lambda export: export.name)
    except ClientError as error:
        code = one_word(error.response.get("Error", {}).get("Code"))
        raise StoreError(
            f"the account's exports are not listed: bcm-data-exports:{error.operation_name} failed for "
            f"{auth.described} ({code}). Grant bcm-data-exports:ListExports and bcm-data-exports:GetExport to have "
            "them listed; nothing else needs that"
        ) from None
    except BotoCoreError as error:
        raise StoreError(
            f"the account's exports are not listed ({type(error).__name__}): check auth and this machine's network; "
            "nothing else needs that"
        ) from None
    except (StoreError, MemoryError, OSError):
        raise
    except Exception as error:
        raise not_understood("the account's exports are not listed", error) from None


def _left_out(client: BaseClient, query: str, table: str, settings: dict[str, str]) -> tuple[str, ...] | None:
    if "*" in query:
        return ()
    try:
        schema = client.get_table(TableName=table, TableProperties=settings)["Schema"]
    except ClientError as error:
        if error.response["Error"].get("Code") == "AccessDeniedException":
            return None
        raise
    selected = {word.casefold() for word in re.findall(r"\w+", query)}
    return tuple(column["Name"] for column in schema if column["Name"].casefold() not in selected)


def _described(
    export: dict, table: str, settings: dict[str, str], status: str, left_out: tuple[str, ...] | None
) -> AccountExport:
    place = export["DestinationConfigurations"]["S3Destination"]
    output = place["S3OutputConfigurations"]
    prefix = place["S3Prefix"]
    return AccountExport(
        name=export["Name"],
        table=table,
        granularity=settings.get("TIME_GRANULARITY", ""),
        delivery=f"{output['Format']}, {output['Overwrite']}",
        url=f"s3://{place['S3Bucket']}/{f'{prefix}/' if prefix else ''}{export['Name']}/",
        status=status,
        left_out=left_out,
    )
