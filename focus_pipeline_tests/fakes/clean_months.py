"""A month of charges as each provider writes it: every kind of charge, and every rule kept but for the known gaps.

The charges are the same for all: usage at the list price and below it, usage that a commitment covers and what of the
commitment stays unused, its purchase, a marketplace purchase, tax, a credit, an adjustment, a correction of an older
month. A variant says which columns a provider's export has, in which order, and how it spells them; the gaps that the
provider itself documents occur on the rows that its `gaps` name.

Values are text, as in a CSV file; nothing there is "". Google's native table has typed columns: its moments and numbers
are written here as FOCUS asks. Contents of a provider's own columns are made up, but plausible.
"""

import json
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

Value = str | Decimal | datetime | None
Values = dict[str, Value]

MONTH = "2025-03"
DAY = timedelta(days=1)
LOS_ANGELES = ZoneInfo("America/Los_Angeles")


# The charges


@dataclass(frozen=True)
class Service:
    """A service that is charged for: the part of it that FOCUS standardises, and how its quantities are priced."""

    category: str
    subcategory: str
    unit: str
    meter: str


SERVICES = {
    "compute": Service("Compute", "Virtual Machines", "Hours", "Compute Time"),
    "storage": Service("Storage", "Object Storage", "GB-Months", "Stored Data"),
    "functions": Service("Compute", "Serverless Compute", "Requests", "Requests"),
    "containers": Service("Compute", "Containers", "Hours", "Node Time"),
    "marketplace": Service("Security", "Threat Detection and Response", "Units", "Licences"),
}


@dataclass(frozen=True)
class Charge:
    """One row of the bill, before a provider spells it."""

    description: str
    service: str
    start: datetime
    end: datetime
    category: str = "Usage"
    frequency: str = "Usage-Based"
    correction: bool = False
    pricing: str | None = "Standard"
    sku: str | None = None
    quantity: Decimal | None = None
    list_price: Decimal | None = None
    contracted_price: Decimal | None = None
    # None: what the quantity costs at the contracted price.
    billed: Decimal | None = None
    effective: Decimal | None = None
    resource: str | None = None
    commitment: str | None = None
    reservation: bool = False
    # Share of the charge for a whole resource, and the workload that got it.
    allocated: tuple[Decimal, str] | None = None
    account_wide: bool = False
    tags: Mapping[str, str | int | bool | None] = field(default_factory=dict)


def _charges(month: str) -> dict[str, Charge]:
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    days = monthrange(first.year, first.month)[1]
    whole_month = {"start": first, "end": first + days * DAY}
    month_hours = Decimal(days * 24)

    def day(number: int) -> dict[str, datetime]:
        start = first + (number - 1) * DAY
        return {"start": start, "end": start + DAY}

    machine = {"sku": "vm2", "list_price": Decimal("0.0832"), "contracted_price": Decimal("0.0791")}
    committed = {"pricing": "Committed", "sku": "vm2", "list_price": Decimal("0.0832")}
    commitment = {"sku": "vm2-1y", "list_price": Decimal("0.052"), "contracted_price": Decimal("0.052")}
    node = {"sku": "node", "list_price": Decimal("0.25"), "contracted_price": Decimal("0.24"), "resource": "cluster"}
    return {
        "usage": Charge(
            "Two processors, on demand", "compute", **day(2), **machine, quantity=Decimal(24), resource="web-1",
            tags={"team": "web"},
        ),
        "decimals": Charge(
            "Objects stored", "storage", **day(3), sku="obj", quantity=Decimal("1234.567890123456"),
            list_price=Decimal("0.023"), contracted_price=Decimal("0.0218"), resource="archive",
        ),
        "tagged": Charge(
            "Function calls", "functions", **day(4), sku="req", quantity=Decimal(1234567),
            list_price=Decimal("0.0000002"), contracted_price=Decimal("0.00000015"), resource="thumbnails",
            tags={
                "team": "web & shop", "Team": "upper case", "cost centre": "Zürich, 北京", "quoted": 'a "b" \\ c',
                "user:note": "two\nlines", "empty": "", "json": '{"a": [1]}', "shared": True, "replicas": 3,
                "owner": None,
            },
        ),
        "spot": Charge(
            "Two processors, spot", "compute", **day(days), pricing="Dynamic", sku="vm2-spot",
            quantity=Decimal("7.25"), list_price=Decimal("0.0312"), contracted_price=Decimal("0.0312"),
            resource="batch-1",
        ),
        "reserved": Charge(
            "Two processors, in reserved capacity", "compute", **day(5), **machine, quantity=Decimal(24),
            resource="db-1", reservation=True,
        ),
        "free": Charge(
            "Function calls, free tier", "functions", **day(6), sku="req-free", quantity=Decimal(1000),
            list_price=Decimal(0), contracted_price=Decimal(0), resource="thumbnails",
        ),
        "used": Charge(
            "Two processors, covered by a commitment", "compute", **day(7), **committed,
            contracted_price=Decimal("0.0791"), quantity=Decimal(24), billed=Decimal(0),
            effective=Decimal("1.248"), resource="web-2", commitment="Used",
        ),
        "unused": Charge(
            "Commitment, not used", "compute", **whole_month, **commitment, pricing="Committed",
            quantity=month_hours - 24, billed=Decimal(0), commitment="Unused",
        ),
        "purchase": Charge(
            "Commitment for a year, this month's fee", "compute", **whole_month, **commitment, category="Purchase",
            frequency="Recurring", quantity=month_hours, effective=Decimal(0), commitment="Bought",
        ),
        "marketplace": Charge(
            "Scanner, licence", "marketplace", **day(8), category="Purchase", frequency="One-Time", sku="scan",
            quantity=Decimal(3), list_price=Decimal("49.5"), contracted_price=Decimal("49.5"),
        ),
        "tax": Charge(
            "VAT", "compute", **whole_month, category="Tax", frequency="Recurring", pricing=None,
            billed=Decimal("9.87"), account_wide=True,
        ),
        "credit": Charge(
            "Credit for an outage", "compute", **day(9), category="Credit", frequency="One-Time", pricing=None,
            billed=Decimal("-12.5"),
        ),
        "adjustment": Charge(
            "Rounding", "compute", **whole_month, category="Adjustment", frequency="One-Time", pricing=None,
            billed=Decimal("-0.0000004"), account_wide=True,
        ),
        "correction": Charge(
            "Two processors, charged too much", "compute", start=first - 20 * DAY, end=first - 19 * DAY,
            correction=True, **machine, quantity=Decimal("-10.5"), resource="web-1", tags={"team": "web"},
        ),
        "allocated_web": Charge(
            "Node, share of web", "containers", **day(10), **node, quantity=Decimal("14.4"),
            allocated=(Decimal("0.6"), "web"),
        ),
        "allocated_batch": Charge(
            "Node, share of batch", "containers", **day(10), **node, quantity=Decimal("9.6"),
            allocated=(Decimal("0.4"), "batch"),
        ),
    }  # fmt: skip


# The providers


@dataclass(frozen=True)
class Commitment:
    """The commitment discount that the month has: one, whose fee is what its used and unused hours cost."""

    id: str
    name: str
    type: str
    category: str = "Usage"


@dataclass(frozen=True)
class Provider:
    """What is the same on every row of a provider, and how it names things."""

    name: str
    issuer: str
    currency: str
    billing_account: tuple[str, str, str]
    sub_account: tuple[str, str, str]
    region: tuple[str, str]
    zone: str
    services: Mapping[str, str]
    commitment: Commitment
    reservation: str
    resource: Callable[[str, str], str]
    invoice: str | None = "INV-0001"
    # Prices are in another currency, of which one is worth this much of the billing currency.
    pricing_currency: str = "USD"
    exchange_rate: Decimal = Decimal(1)
    # Values of tags and price details may be numbers, truth values and null as well as text.
    typed_pairs: bool = False


AWS = Provider(
    "AWS",
    "Amazon Web Services, Inc.",
    "USD",
    ("001234567890", "Example payer", "Management Account"),
    ("012345678901", "production", "Member Account"),
    ("eu-west-1", "EU (Ireland)"),
    "eu-west-1a",
    {
        "compute": "Amazon Elastic Compute Cloud",
        "storage": "Amazon Simple Storage Service",
        "functions": "AWS Lambda",
        "marketplace": "Example Scanner",
    },
    Commitment("arn:aws:ec2:eu-west-1:001234567890:reserved-instances/2f1a", "Reserved machines", "Reserved Instances"),
    "arn:aws:ec2:eu-west-1:012345678901:capacity-reservation/cr-0a1b",
    lambda service, name: f"arn:aws:{service}:eu-west-1:012345678901:{name}",
    invoice="EUINIE25-1234567",
)

SUBSCRIPTION = "/subscriptions/64e355d7-997c-491d-b0c1-8414dccfcf42"

AZURE = Provider(
    "Microsoft",
    "Microsoft",
    "EUR",
    ("/providers/Microsoft.Billing/billingAccounts/8611537", "Example enrolment", "Billing Account"),
    (SUBSCRIPTION, "production", "Subscription"),
    ("westeurope", "West Europe"),
    "",
    {
        "compute": "Virtual Machines",
        "storage": "Storage Accounts",
        "functions": "Functions",
        "marketplace": "Example Scanner",
    },
    Commitment(
        "/providers/Microsoft.Capacity/reservationOrders/9C1D/reservations/7E2F", "Reserved machines", "Reservation"
    ),
    "",
    lambda service, name: f"{SUBSCRIPTION}/resourcegroups/rg-shop/providers/microsoft.{service}/{name}",
    invoice=None,
    exchange_rate=Decimal("0.8"),
)

SAVINGS_PLAN = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/3B4C/savingsPlans/5D6E"

GOOGLE = Provider(
    "Google Cloud",
    "Google Cloud EMEA Limited",
    "EUR",
    ("010101-F0FFF0-61C528", "Example billing", "Billing Account"),
    ("shop-production", "Shop production", "Project"),
    ("europe-west4", "Netherlands"),
    "europe-west4-a",
    {
        "compute": "Compute Engine",
        "storage": "Cloud Storage",
        "functions": "Cloud Run Functions",
        "marketplace": "Example Scanner",
    },
    Commitment("3141592653589793", "Committed machines", "Committed use discount"),
    "",
    lambda service, name: f"//{service}.googleapis.com/projects/shop-production/{name}",
    invoice=None,
    exchange_rate=Decimal("0.8"),
)

ORACLE = Provider(
    "Oracle",
    "Oracle",
    "USD",
    ("78901234", "Example tenancy", "Subscription"),
    ("ocid1.tenancy.oc1..aaaa", "exampletenancy", "Tenancy"),
    ("eu-frankfurt-1", ""),
    "EUF:EU-FRANKFURT-1-AD-1",
    {"compute": "COMPUTE", "storage": "OBJECT_STORAGE", "functions": "FUNCTIONS", "marketplace": "MARKETPLACE"},
    Commitment("ocid1.commitment.oc1..cccc", "Reserved machines", "Universal Credits", "Spend"),
    "",
    lambda service, name: f"ocid1.{service}.oc1.eu-frankfurt-1.{name}",
    invoice=None,
)

SOFTWARE = Provider(
    "Example Cloud",
    "Example Cloud Ltd",
    "USD",
    ("acct-0042", "Example customer", "Contract"),
    ("ws-7", "shop", "Workspace"),
    ("eu-central", "Europe Central"),
    "eu-central-a",
    {
        "compute": "Warehouse",
        "storage": "Lake",
        "functions": "Triggers",
        "containers": "Clusters",
        "marketplace": "Example Scanner",
    },
    Commitment("commit-2025", "Commitment 2025", "Flat Commitment"),
    "capacity-9",
    lambda service, name: f"{service}/{name}",
    pricing_currency="EUR",
    exchange_rate=Decimal("1.25"),
    typed_pairs=True,
)


# The columns, before they are spelled


def _focus_values(key: str, charge: Charge, provider: Provider, month: str) -> Values:
    """Every column of FOCUS 1.0 to 1.4, and of its preview, for one charge."""
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    service = SERVICES[charge.service]
    at_contracted = _product(charge.contracted_price, charge.quantity)
    at_list = _product(charge.list_price, charge.quantity)
    billed = charge.billed if charge.billed is not None else at_contracted
    effective = charge.effective
    if effective is None:
        effective = at_contracted if at_contracted is not None else billed
    contracted = at_contracted if at_contracted is not None else billed
    listed = at_list if at_list is not None else billed
    used = charge.category == "Usage" and charge.commitment != "Unused"
    commitment = provider.commitment if charge.commitment else None
    owns_resource = charge.resource is not None
    located = owns_resource or commitment is not None
    sub_account = (None, None, None) if charge.account_wide else provider.sub_account
    priced = charge.sku is not None

    def in_pricing_currency(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else amount / provider.exchange_rate

    def pairs(of: Mapping[str, str | int | bool | None]) -> str:
        return _json(dict(of) if provider.typed_pairs else {name: str(value or "") for name, value in of.items()})

    values: Values = {
        "AvailabilityZone": provider.zone if owns_resource else None,
        "BilledCost": billed,
        "BillingAccountId": provider.billing_account[0],
        "BillingAccountName": provider.billing_account[1],
        "BillingAccountType": provider.billing_account[2],
        "BillingCurrency": provider.currency,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": start + monthrange(start.year, start.month)[1] * DAY,
        "CapacityReservationId": provider.reservation if charge.reservation else None,
        "CapacityReservationStatus": "Used" if charge.reservation else None,
        "ChargeCategory": charge.category,
        "ChargeClass": "Correction" if charge.correction else None,
        "ChargeDescription": charge.description,
        "ChargeFrequency": charge.frequency,
        "ChargePeriodStart": charge.start,
        "ChargePeriodEnd": charge.end,
        "CommitmentDiscountCategory": commitment and commitment.category,
        "CommitmentDiscountId": commitment and commitment.id,
        "CommitmentDiscountName": commitment and commitment.name,
        "CommitmentDiscountQuantity": charge.quantity if commitment else None,
        "CommitmentDiscountStatus": charge.commitment if charge.category == "Usage" else None,
        "CommitmentDiscountType": commitment and commitment.type,
        "CommitmentDiscountUnit": service.unit if commitment else None,
        "ConsumedQuantity": charge.quantity if used else None,
        "ConsumedUnit": service.unit if used else None,
        "ContractedCost": contracted,
        "ContractedUnitPrice": charge.contracted_price,
        "EffectiveCost": effective,
        "HostProviderName": "AWS" if located else None,
        "InvoiceDetailId": provider.invoice and f"{provider.invoice}/{key}",
        "InvoiceId": provider.invoice,
        "InvoiceIssuerName": provider.issuer,
        "ListCost": listed,
        "ListUnitPrice": charge.list_price,
        "PricingCategory": charge.pricing,
        "PricingCurrency": provider.pricing_currency,
        "PricingCurrencyContractedUnitPrice": in_pricing_currency(charge.contracted_price),
        "PricingCurrencyEffectiveCost": in_pricing_currency(effective),
        "PricingCurrencyListUnitPrice": in_pricing_currency(charge.list_price),
        "PricingQuantity": charge.quantity,
        "PricingUnit": service.unit if charge.quantity is not None else None,
        "ProviderName": provider.name,
        "PublisherName": "Example Security" if charge.service == "marketplace" else provider.name,
        "RegionId": provider.region[0] if located else None,
        "RegionName": provider.region[1] if located else None,
        "ResourceId": provider.resource(charge.service, charge.resource) if charge.resource else None,
        "ResourceName": charge.resource,
        "ResourceType": service.subcategory.removesuffix("s") if owns_resource else None,
        "ServiceCategory": service.category,
        "ServiceName": provider.services[charge.service],
        "ServiceProviderName": provider.name,
        "ServiceSubcategory": service.subcategory,
        "SkuId": charge.sku and f"SKU-{charge.sku}",
        "SkuMeter": service.meter if priced else None,
        "SkuPriceDetails": pairs({"CoreCount": 2, "OperatingSystem": "Linux"}) if priced else None,
        "SkuPriceId": charge.sku and f"SKU-{charge.sku}.P1",
        "SubAccountId": sub_account[0],
        "SubAccountName": sub_account[1],
        "SubAccountType": sub_account[2],
        "Tags": pairs(charge.tags),
    }
    if commitment is not None and charge.resource is None:
        values |= {
            "ResourceId": commitment.id,
            "ResourceName": commitment.name,
            "ResourceType": commitment.type,
        }
    if commitment is not None:
        values["ContractApplied"] = _json({"Elements": [{"ContractId": "K-1", "ContractCommitmentId": "K-1/1"}]})
    if charge.category == "Usage" and commitment is None:
        values["CommitmentProgramEligibilityDetails"] = _json({"Elements": [{"CommitmentProgram": "Flat"}]})
    if charge.allocated is not None:
        ratio, workload = charge.allocated
        values |= {
            "AllocatedMethodId": "by-processor-time",
            "AllocatedMethodDetails": _json({"Elements": [{"AllocatedRatio": float(ratio)}]}),
            "AllocatedResourceId": f"pod/{workload}",
            "AllocatedResourceName": workload,
            "AllocatedTags": _json({"workload": workload}),
        }
    return values


def _product(price: Decimal | None, quantity: Decimal | None) -> Decimal | None:
    return None if price is None or quantity is None else price * quantity


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tags(values: Values) -> dict[str, str]:
    tags = json.loads(str(values["Tags"]))
    return {tag["key"]: tag["value"] for tag in tags} if isinstance(tags, list) else tags


# How each provider spells its values


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"


def _ten_decimals(number: Decimal) -> str:
    """AWS: never fewer than ten decimals."""
    places = max(10, -int(number.normalize().as_tuple().exponent))
    return format(number, f".{places}f")


def _small_with_exponent(number: Decimal) -> str:
    """Azure: numbers near zero have an exponent."""
    return f"{number.normalize():E}" if 0 < abs(number) < Decimal("0.00001") else _plain(number)


def _seconds(column: str, moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(column: str, moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _minutes(column: str, moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def _oracle_moment(column: str, moment: datetime) -> str:
    """The billing period has milliseconds and ends within its last day; the charge period has no seconds."""
    if column == "BillingPeriodEnd":
        return (moment - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.999Z")
    return _milliseconds(column, moment) if column == "BillingPeriodStart" else _minutes(column, moment)


def _google_view_moment(column: str, moment: datetime) -> str:
    """As BigQuery writes a CSV file; the billing period is from the first to the last midnight in Los Angeles."""
    if column == "BillingPeriodEnd":
        moment -= DAY
    if column.startswith("BillingPeriod"):
        moment = moment.replace(tzinfo=LOS_ANGELES).astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


# The providers' own columns: from the columns of FOCUS, after the gaps


def _amazon_own(key: str, values: Values) -> Values:
    code = {
        "Amazon Elastic Compute Cloud": "AmazonEC2",
        "Amazon Simple Storage Service": "AmazonS3",
        "AWS Lambda": "AWSLambda",
    }.get(str(values["ServiceName"]), "AWSMarketplace")
    return {
        "x_CostCategories": _json({"Division": "Shop"}),
        "x_Discounts": _json({"EdpDiscount": -0.0984}) if key == "usage" else _json({}),
        "x_Operation": "RunInstances" if code == "AmazonEC2" else None,
        "x_ServiceCode": code,
        "x_UsageType": "EU-BoxUsage:t3.large" if values["ConsumedQuantity"] is not None else None,
    }


def _azure_own(key: str, values: Values) -> Values:
    def in_dollars(column: str) -> Value:
        amount = values[column]
        return amount / AZURE.exchange_rate if isinstance(amount, Decimal) else None

    effective, quantity, price = values["EffectiveCost"], values["PricingQuantity"], values["ContractedUnitPrice"]
    priced = isinstance(quantity, Decimal)
    committed = values["CommitmentDiscountId"] is not None
    on_resource = values["ResourceId"] is not None and not committed
    third_party = key == "marketplace"
    return {
        "x_AccountId": "112233",
        "x_AccountName": "Example account",
        "x_AccountOwnerId": "owner@example.com",
        "x_AmortizationClass": {"purchase": "Principal", "used": "Amortized Charge", "unused": "Amortized Charge"}.get(
            key
        ),
        "x_BilledCostInUsd": in_dollars("BilledCost"),
        "x_BilledUnitPrice": (Decimal(0) if key in ("used", "unused") else price) if priced else None,
        "x_BillingAccountId": "8611537",
        "x_BillingAccountName": "Example enrolment",
        "x_BillingExchangeRate": AZURE.exchange_rate,
        "x_BillingExchangeRateDate": values["BillingPeriodStart"],
        "x_BillingProfileId": "8611537",
        "x_BillingProfileName": "Example enrolment",
        "x_ContractedCostInUsd": in_dollars("ContractedCost"),
        "x_CostAllocationRuleName": None,
        "x_CostCenter": "4711",
        "x_CustomerId": None,
        "x_CustomerName": None,
        "x_EffectiveCostInUsd": in_dollars("EffectiveCost"),
        "x_EffectiveUnitPrice": effective / quantity if priced and isinstance(effective, Decimal) else None,
        "x_InvoiceId": values["InvoiceId"],
        "x_InvoiceIssuerId": None,
        # Azure's own words for "none", in columns of its own.
        "x_InvoiceSectionId": "-2" if values["SubAccountId"] is None else "7788",
        "x_InvoiceSectionName": "Unassigned" if values["SubAccountId"] is None else "Shop",
        "x_ListCostInUsd": in_dollars("ListCost"),
        "x_PartnerCreditApplied": None,
        "x_PartnerCreditRate": None,
        "x_PricingBlockSize": Decimal(1) if priced else None,
        "x_PricingCurrency": AZURE.pricing_currency,
        "x_PricingSubcategory": {"spot": "Spot", "used": "Committed Usage", "unused": "Committed Usage"}.get(
            key, "Standard" if priced else None
        ),
        "x_PricingUnitDescription": f"1 {values['PricingUnit']}" if priced else None,
        "x_PublisherCategory": "Vendor" if third_party else "Cloud Provider",
        "x_PublisherId": "example-security" if third_party else None,
        "x_ResellerId": None,
        "x_ResellerName": None,
        "x_ResourceGroupName": "rg-shop" if on_resource else None,
        "x_ResourceType": "microsoft.compute/virtualmachines" if on_resource else None,
        "x_ServiceModel": "IaaS" if priced else None,
        "x_ServicePeriodEnd": values["ChargePeriodEnd"] if key == "purchase" else None,
        "x_ServicePeriodStart": values["ChargePeriodStart"] if key == "purchase" else None,
        "x_SkuDescription": values["ChargeDescription"],
        "x_SkuDetails": _json({"ServiceType": "Standard_D2s_v3", "VCPUs": 2}) if on_resource else _json({}),
        "x_SkuIsCreditEligible": "true" if priced and not third_party else "false",
        "x_SkuMeterCategory": values["ServiceName"],
        "x_SkuMeterId": f"8f6c0000-{key}" if priced else None,
        "x_SkuMeterName": values["SkuMeter"],
        "x_SkuMeterSubcategory": values["ServiceSubcategory"],
        "x_SkuOfferId": "MS-AZR-0017P",
        "x_SkuOrderId": "9c1d" if committed else None,
        "x_SkuOrderName": "Reserved machines" if committed else None,
        "x_SkuPartNumber": "AAD-12345" if priced else None,
        "x_SkuPlanName": "Scanner plan" if third_party else None,
        "x_SkuRegion": "EU West" if values["RegionId"] is not None else None,
        "x_SkuServiceFamily": values["ServiceCategory"],
        "x_SkuTerm": Decimal(12) if committed else None,
        "x_SkuTier": None,
    }


def _google_own(key: str, values: Values) -> Values:
    labels = [{"Key": name, "Value": value} for name, value in _tags(values).items()]
    project = {"Id": "shop-production", "Name": "Shop production", "Number": "4242"}
    credits = [{"Name": "Negotiated", "Amount": -0.5, "Type": "DISCOUNT"}] if key == "usage" else []
    return {
        "x_CostType": str(values["ChargeCategory"]).lower() if values["ChargeCategory"] != "Usage" else "regular",
        "x_Credits": _json(credits),
        "x_CurrencyConversionRate": GOOGLE.exchange_rate,
        "x_ExportTime": "2025-04-02T03:04:05.678901Z",
        "x_Labels": _json(labels),
        "x_Location": _json({"Location": values["RegionId"], "Country": "NL"}),
        "x_Project": _json(project) if values["SubAccountId"] is not None else None,
        "x_ProjectLabels": _json([{"Key": "stage", "Value": "production"}]),
        "x_ServiceId": "6F81-5844-456A",
        "x_SystemLabels": _json([{"Key": "compute.googleapis.com/cores", "Value": "2"}]),
        "x_Tags": _json([]),
        "x_SubscriptionInstanceId": "3141592653589793" if key in ("used", "purchase") else None,
        "x_PriceEffectivePriceDefault": values["ContractedUnitPrice"],
        "x_PriceListPriceConsumptionModel": values["ListUnitPrice"],
        "x_CostAtEffectivePriceDefault": values["ContractedCost"],
        "x_CostAtListConsumptionModel": values["ListCost"],
        "x_ConsumptionModelId": "7754-699E-0EBF",
        "x_ConsumptionModelDescription": "Default",
    }


def _oracle_own(key: str, values: Values) -> Values:
    located = values["ResourceId"] is not None
    return {
        "oci_ReferenceNumber": f"V2.{key}/1",
        "oci_CompartmentId": "ocid1.compartment.oc1..bbbb" if located else None,
        "oci_CompartmentName": "shop" if located else None,
        "oci_OverageFlag": "Y" if key == "spot" else "N",
        "oci_UnitPriceOverage": values["ContractedUnitPrice"] if key == "spot" else None,
        "oci_BilledQuantityOverage": values["PricingQuantity"] if key == "spot" else None,
        "oci_CostOverage": values["BilledCost"] if key == "spot" else None,
        "oci_AttributedUsage": values["PricingQuantity"] if key == "used" else None,
        "oci_AttributedCost": values["EffectiveCost"] if key == "used" else None,
        "oci_BackReferenceNumber": "V1.usage/1" if key == "correction" else None,
    }


def _nothing_own(key: str, values: Values) -> Values:
    return {}


# What a provider writes otherwise than FOCUS, on every row


def _as_it_is(key: str, values: Values) -> Values:
    return values


def _azure_values(key: str, values: Values) -> Values:
    """Resource ids are lower-case; there are no capacity reservations, commitment quantities and price details."""
    resource = values["ResourceId"]
    absent = ("CapacityReservation", "CommitmentDiscountQuantity", "CommitmentDiscountUnit", "SkuPriceDetails")
    return values | {
        "ResourceId": resource.lower() if isinstance(resource, str) else None,
        **{name: None for name in values if name.startswith(absent)},
    }


def _google_values(key: str, values: Values) -> Values:
    """There is no purchase and no dynamic pricing: fees are usage, spot is a price like any other."""
    if values["ChargeCategory"] == "Purchase":
        fee = values["BilledCost"]
        quantity, unit = values["PricingQuantity"], values["PricingUnit"]
        values = values | {"ChargeCategory": "Usage", "ConsumedQuantity": quantity, "ConsumedUnit": unit}
        values["EffectiveCost"] = fee
        values["PricingCurrencyEffectiveCost"] = fee / GOOGLE.exchange_rate if isinstance(fee, Decimal) else None
    if values["PricingCategory"] == "Dynamic":
        values = values | {"PricingCategory": "Standard"}
    return values


def _google_view_values(key: str, values: Values) -> Values:
    """Enum values are lower-case, and lists are JSON text; the sub account is the billing account."""
    values = _google_values(key, values)
    lower = ("ChargeCategory", "ChargeClass", "PricingCategory")
    tags = [
        {"key": name, "value": value, "x_type": "label", "x_inherited": False, "x_namespace": None}
        for name, value in _tags(values).items()
    ]
    return values | {
        **{name: str(values[name]).lower() for name in lower if values[name] is not None},
        "EffectiveCost": values["BilledCost"],
        "ProviderName": "Google Cloud",
        "ServiceCategory": _json(["GCP", values["ServiceCategory"], values["ServiceSubcategory"]]),
        "SubAccountId": values["BillingAccountId"],
        "Tags": _json(tags),
    }


def _oracle_values(key: str, values: Values) -> Values:
    """The names and enum values of the preview before FOCUS 1.0."""
    committed = {"Used": "Used Commitment", "Unused": "Unused Commitment"}
    subcategory: str | None = None
    if values["ChargeCategory"] == "Usage":
        subcategory = committed.get(str(values["CommitmentDiscountStatus"]), "On-Demand")
    elif values["ChargeCategory"] in ("Credit", "Adjustment"):
        subcategory = "Credit" if values["ChargeCategory"] == "Credit" else "Rounding Error"
    pricing = {"Standard": "On-Demand", "Committed": "Commitment-Based"}
    category = values["PricingCategory"]
    return values | {
        "ChargeCategory": "Adjustment" if values["ChargeCategory"] == "Credit" else values["ChargeCategory"],
        "ChargeSubcategory": subcategory,
        "InvoiceIssuer": values["InvoiceIssuerName"],
        "PricingCategory": pricing.get(str(category), category),
        "Provider": values["ProviderName"],
        "Publisher": values["PublisherName"],
        "Region": values["RegionId"],
        "UsageQuantity": values["ConsumedQuantity"],
        "UsageUnit": values["ConsumedUnit"],
    }


def _complete_1_3_values(key: str, values: Values) -> Values:
    """Version 1.3 has other names inside ContractApplied."""
    applied = values.get("ContractApplied")
    return values | {"ContractApplied": str(applied).replace("Id", "ID") if applied else None}


# The gaps that providers document


@dataclass(frozen=True)
class Gap:
    """A rule that a provider says it breaks, and the row on which it does here."""

    row: str
    rules: tuple[str, ...]
    change: Mapping[str, Value]
    text: str


def _absent(*columns: str) -> dict[str, Value]:
    return dict.fromkeys(columns)


AWS_1_0_GAPS = (
    Gap(
        "marketplace",
        ("ContractedUnitPrice-C-006-C", "ListUnitPrice-C-005-C", "SkuId-C-005-C", "SkuPriceId-C-005-C"),
        _absent("ContractedUnitPrice", "ListUnitPrice", "PricingUnit", "SkuId", "SkuPriceId"),
        "unit prices, pricing unit and SKU may be null for certain offerings",
    ),
    Gap(
        "adjustment",
        ("InvoiceIssuerName-C-003-M", "PublisherName-C-003-M"),
        _absent("InvoiceIssuerName", "PublisherName"),
        "issuer and publisher may be null for certain charges",
    ),
)

AWS_1_2_GAPS = (
    Gap(
        "reserved",
        ("CapacityReservationStatus-C-004-C",),
        _absent("CapacityReservationStatus"),
        'no status for what AWS calls "reserved"',
    ),
    Gap("spot", ("SkuMeter-C-005-C",), _absent("SkuMeter"), "no meter for some SKUs"),
    Gap("free", ("ConsumedUnit-C-006-C",), _absent("ConsumedUnit"), "no unit for some consumed quantities"),
)

ZERO_PRICES: dict[str, Value] = dict.fromkeys(
    ("ContractedCost", "ContractedUnitPrice", "ListCost", "ListUnitPrice"), Decimal(0)
)

AZURE_GAPS = (
    Gap(
        "used",
        ("PublisherName-C-003-M",),
        ZERO_PRICES | _absent("PublisherName"),
        "reservation usage: list and contracted prices are 0, no publisher",
    ),
    Gap("purchase", ("PublisherName-C-003-M",), _absent("PublisherName"), "reservation purchase: no publisher"),
    Gap(
        "unused",
        ("ChargeDescription-C-003-O", "PublisherName-C-003-M", "SkuId-C-005-C", "SkuPriceId-C-005-C"),
        _absent("ChargeDescription", "PublisherName", "SkuId", "SkuMeter", "SkuPriceId")
        | {
            "CommitmentDiscountCategory": "Spend",
            "CommitmentDiscountId": SAVINGS_PLAN,
            "CommitmentDiscountName": "Savings on machines",
            "CommitmentDiscountType": "Savings Plan",
            "ResourceId": SAVINGS_PLAN,
            "ResourceName": "Savings on machines",
            "ResourceType": "Savings Plan",
        },
        "unused savings plan: no description, publisher and SKU",
    ),
    Gap(
        "marketplace",
        ("ServiceName-C-003-M", "SkuId-C-005-C", "SkuPriceId-C-005-C"),
        ZERO_PRICES | _absent("ServiceName", "SkuId", "SkuMeter", "SkuPriceId"),
        "marketplace: list and contracted prices are 0, no service and no SKU",
    ),
)

AZURE_1_2_GAPS = (
    *AZURE_GAPS,
    *(
        Gap(row, ("CommitmentDiscountQuantity-C-005-C",), {}, "no commitment discount has a quantity")
        for row in ("used", "unused", "purchase")
    ),
)


# The columns of each export


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


AWS_1_2_COLUMNS = _names(
    """
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd
    BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription
    ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId
    CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountType CommitmentDiscountUnit
    CommitmentDiscountStatus ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceId
    InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
    PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName
    RegionId RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId
    SkuMeter SkuPriceId SkuPriceDetails SubAccountId SubAccountName SubAccountType Tags x_Discounts x_Operation
    x_ServiceCode
    """
)
FOCUS_1_2_COLUMNS = frozenset(name for name in AWS_1_2_COLUMNS if not name.startswith("x_"))
FOCUS_1_0_COLUMNS = FOCUS_1_2_COLUMNS - frozenset(
    _names(
        """
        BillingAccountType CapacityReservationId CapacityReservationStatus CommitmentDiscountQuantity
        CommitmentDiscountUnit InvoiceId PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost
        PricingCurrencyListUnitPrice ServiceSubcategory SkuMeter SkuPriceDetails SubAccountType
        """
    )
)
FOCUS_1_3_COLUMNS = FOCUS_1_2_COLUMNS | frozenset(
    _names(
        """
        AllocatedMethodDetails AllocatedMethodId AllocatedResourceId AllocatedResourceName AllocatedTags ContractApplied
        HostProviderName ServiceProviderName
        """
    )
)
FOCUS_1_4_COLUMNS = FOCUS_1_3_COLUMNS - {"ProviderName", "PublisherName"} | {
    "CommitmentProgramEligibilityDetails",
    "InvoiceDetailId",
}

AZURE_OWN_1_0 = frozenset(
    _names(
        """
        x_AccountId x_AccountName x_AccountOwnerId x_BilledCostInUsd x_BilledUnitPrice x_BillingAccountId
        x_BillingAccountName x_BillingExchangeRate x_BillingExchangeRateDate x_BillingProfileId x_BillingProfileName
        x_ContractedCostInUsd x_CostAllocationRuleName x_CostCenter x_CustomerId x_CustomerName x_EffectiveCostInUsd
        x_EffectiveUnitPrice x_InvoiceId x_InvoiceIssuerId x_InvoiceSectionId x_InvoiceSectionName x_ListCostInUsd
        x_PartnerCreditApplied x_PartnerCreditRate x_PricingBlockSize x_PricingCurrency x_PricingSubcategory
        x_PricingUnitDescription x_PublisherCategory x_PublisherId x_ResellerId x_ResellerName x_ResourceGroupName
        x_ResourceType x_ServicePeriodEnd x_ServicePeriodStart x_SkuDescription x_SkuDetails x_SkuIsCreditEligible
        x_SkuMeterCategory x_SkuMeterId x_SkuMeterName x_SkuMeterSubcategory x_SkuOfferId x_SkuOrderId x_SkuOrderName
        x_SkuPartNumber x_SkuRegion x_SkuServiceFamily x_SkuTerm x_SkuTier
        """
    )
)
AZURE_OWN_1_2_PREVIEW = AZURE_OWN_1_0 - {"x_InvoiceId", "x_PricingCurrency", "x_SkuMeterName"} | {
    "x_AmortizationClass",
    "x_ServiceModel",
    "x_SkuPlanName",
}
AZURE_1_0_COLUMNS = (
    *sorted(FOCUS_1_0_COLUMNS - {"AvailabilityZone"} | {"BillingAccountType", "SubAccountType"}),
    *sorted(AZURE_OWN_1_0),
)
AZURE_1_2_PREVIEW_COLUMNS = (
    *sorted(
        FOCUS_1_2_COLUMNS
        - {
            "AvailabilityZone",
            "PricingCurrencyContractedUnitPrice",
            "PricingCurrencyEffectiveCost",
            "PricingCurrencyListUnitPrice",
        }
    ),
    *sorted(AZURE_OWN_1_2_PREVIEW),
)

GOOGLE_COLUMNS = _names(
    """
    AvailabilityZone BilledCost BillingAccountId BillingCurrency BillingPeriodStart BillingPeriodEnd ChargeCategory
    ChargeClass ChargeDescription ChargePeriodStart ChargePeriodEnd ConsumedQuantity ConsumedUnit ContractedCost
    ContractedUnitPrice ListCost ListUnitPrice PricingCategory PricingQuantity PricingUnit ProviderName PublisherName
    RegionId RegionName ResourceId ResourceName ServiceName SkuId SkuPriceId SubAccountId SubAccountName EffectiveCost
    PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice
    BillingAccountType x_CostType x_Credits x_CurrencyConversionRate x_ExportTime x_Labels x_Location x_Project
    x_ProjectLabels x_ServiceId x_SystemLabels x_Tags x_SubscriptionInstanceId x_PriceEffectivePriceDefault
    x_PriceListPriceConsumptionModel x_CostAtEffectivePriceDefault x_CostAtListConsumptionModel x_ConsumptionModelId
    x_ConsumptionModelDescription
    """
)
GOOGLE_VIEW_COLUMNS = _names(
    """
    AvailabilityZone BilledCost BillingAccountId BillingCurrency BillingPeriodStart BillingPeriodEnd ChargeCategory
    ChargeClass ChargeDescription ChargePeriodStart ChargePeriodEnd CommitmentDiscountCategory CommitmentDiscountId
    CommitmentDiscountName ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost ListCost
    ListUnitPrice PricingCategory PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceId
    ResourceName ResourceType ServiceCategory ServiceName SkuId SkuPriceId SubAccountId Tags x_Credits x_CostType
    x_CurrencyConversionRate x_ExportTime x_Location x_Project x_ServiceId
    """
)
ORACLE_COLUMNS = _names(
    """
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
    ChargeCategory ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart ChargeSubcategory
    CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountType EffectiveCost
    InvoiceIssuer ListCost ListUnitPrice PricingCategory PricingQuantity PricingUnit Provider Publisher Region
    ResourceId ResourceName ResourceType ServiceCategory ServiceName SkuId SkuPriceId SubAccountId SubAccountName Tags
    UsageQuantity UsageUnit oci_ReferenceNumber oci_CompartmentId oci_CompartmentName oci_OverageFlag
    oci_UnitPriceOverage oci_BilledQuantityOverage oci_CostOverage oci_AttributedUsage oci_AttributedCost
    oci_BackReferenceNumber
    """
)


# The variants

ALLOCATED = frozenset({"allocated_web", "allocated_batch"})
# Google has no row for what stays unused and puts credits into other rows.
NOT_AT_GOOGLE = ALLOCATED | {"unused", "credit"}


@dataclass(frozen=True)
class Variant:
    """One version of one provider's FOCUS export."""

    provider: Provider
    # As the provider declares it.
    version: str
    columns: tuple[str, ...]
    moment: Callable[[str, datetime], str] = _seconds
    number: Callable[[Decimal], str] = _plain
    values: Callable[[str, Values], Values] = _as_it_is
    own: Callable[[str, Values], Values] = _nothing_own
    without: frozenset[str] = ALLOCATED
    gaps: tuple[Gap, ...] = ()
    # Rules that are broken wherever there is a value: by how it is spelled, which a lenient reader mends; by what it
    # says; and those that the header breaks.
    gaps_of_spelling: tuple[str, ...] = ()
    gaps_everywhere: tuple[str, ...] = ()
    gaps_of_header: tuple[str, ...] = ()


VARIANTS: dict[str, Variant] = {
    "aws_1_0": Variant(
        AWS,
        "1.0",
        (
            *sorted(FOCUS_1_0_COLUMNS),
            "x_CostCategories",
            "x_Discounts",
            "x_Operation",
            "x_ServiceCode",
            "x_UsageType",
        ),
        _milliseconds,
        _ten_decimals,
        own=_amazon_own,
        gaps=AWS_1_0_GAPS,
    ),
    "aws_1_2": Variant(AWS, "1.2", AWS_1_2_COLUMNS, _milliseconds, _ten_decimals, own=_amazon_own, gaps=AWS_1_2_GAPS),
    "azure_1_0": Variant(
        AZURE,
        "1.0",
        AZURE_1_0_COLUMNS,
        _minutes,
        _small_with_exponent,
        _azure_values,
        _azure_own,
        gaps=AZURE_GAPS,
        gaps_of_spelling=("DateTimeFormat-A-005-M",),
        gaps_of_header=("ColumnHandling-A-010-M",),
    ),
    "azure_1_0r2": Variant(
        AZURE,
        "1.0r2",
        AZURE_1_0_COLUMNS,
        _seconds,
        _small_with_exponent,
        _azure_values,
        _azure_own,
        gaps=AZURE_GAPS,
        gaps_of_header=("ColumnHandling-A-010-M",),
    ),
    "azure_1_2_preview": Variant(
        AZURE,
        "1.2-preview",
        AZURE_1_2_PREVIEW_COLUMNS,
        _seconds,
        _small_with_exponent,
        _azure_values,
        _azure_own,
        gaps=AZURE_1_2_GAPS,
    ),
    "azure_1_2": Variant(
        AZURE,
        "1.2",
        tuple(name for name in AZURE_1_2_PREVIEW_COLUMNS if name != "x_SkuDetails"),
        _seconds,
        _small_with_exponent,
        _azure_values,
        _azure_own,
        gaps=AZURE_1_2_GAPS,
    ),
    "gcp_1_2": Variant(
        GOOGLE,
        "1.2",
        GOOGLE_COLUMNS,
        values=_google_values,
        own=_google_own,
        without=NOT_AT_GOOGLE,
        gaps_of_header=(
            "CostAndUsage-D-005-M",
            "CostAndUsage-D-023-M",
            "CostAndUsage-D-027-O",
            "CostAndUsage-D-033-O",
            "CostAndUsage-D-040-M",
            "CostAndUsage-D-042-O",
        ),
    ),
    "gcp_view_1_0": Variant(
        GOOGLE,
        "1.0",
        GOOGLE_VIEW_COLUMNS,
        _google_view_moment,
        values=_google_view_values,
        own=_google_own,
        without=NOT_AT_GOOGLE,
        gaps_of_spelling=(
            "ChargeCategory-C-003-M",
            "ChargeClass-C-005-C",
            "ConsumedQuantity-C-004-C",
            "DateTimeFormat-A-004-M",
            "DateTimeFormat-A-006-M",
            "KeyValueFormat-A-001-M",
            "PricingCategory-C-007-M",
        ),
        gaps_everywhere=("BillingPeriodEnd-C-004-M/month", "ServiceCategory-C-003-M"),
        gaps_of_header=(
            "CostAndUsage-D-005-M",
            "CostAndUsage-D-014-C",
            "CostAndUsage-D-017-C",
            "CostAndUsage-D-023-M",
            "CostAndUsage-D-027-O",
            "CostAndUsage-D-029-C",
        ),
    ),
    "oci_1_0_preview": Variant(
        ORACLE,
        "1.0-preview",
        ORACLE_COLUMNS,
        _oracle_moment,
        values=_oracle_values,
        own=_oracle_own,
        gaps_of_spelling=(
            "BillingPeriodEnd-C-004-M",
            "BillingPeriodEnd-C-004-M/month",
            "DateTimeFormat-A-005-M",
            "PricingCategory-C-007-M",
        ),
        gaps_of_header=(
            "ColumnHandling-A-010-M",
            "CostAndUsage-D-026-M",
            "CostAndUsage-D-030-M",
            "CostAndUsage-D-062-C",
        ),
    ),
    "complete_1_3": Variant(
        SOFTWARE, "1.3", tuple(sorted(FOCUS_1_3_COLUMNS)), values=_complete_1_3_values, without=frozenset()
    ),
    "complete_1_4": Variant(SOFTWARE, "1.4", tuple(sorted(FOCUS_1_4_COLUMNS)), without=frozenset()),
}


def clean_charges(variant: str, month: str = MONTH) -> dict[str, dict[str, str]]:
    """Name of each row, such as "usage" or "tax" -> its columns, in the provider's order and spelling."""
    described = VARIANTS[variant]
    return {
        key: _row(key, charge, described, month)
        for key, charge in _charges(month).items()
        if key not in described.without
    }


def clean_rows(variant: str, month: str = MONTH) -> list[dict[str, str]]:
    """The rows of `clean_charges`: a whole delivery of the month."""
    return list(clean_charges(variant, month).values())


def _row(key: str, charge: Charge, variant: Variant, month: str) -> dict[str, str]:
    values = variant.values(key, _focus_values(key, charge, variant.provider, month))
    for gap in variant.gaps:
        if gap.row == key:
            values = values | gap.change
    values = values | variant.own(key, values)
    return {column: _spelled(variant, column, values.get(column)) for column in variant.columns}


def _spelled(variant: Variant, column: str, value: Value) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return variant.number(value)
        case datetime():
            return variant.moment(column, value)
        case _:
            return value
