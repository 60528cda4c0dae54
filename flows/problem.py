"""From forecast, capacity and prices to the question the optimizer answers."""

from __future__ import annotations

from configs.errors import InputError
from configs.schema import Scenario
from data.catalog import find_gpu, find_llm
from data.forecast_records import Forecast
from data.plan_records import ApiOffer, Facility, FleetProblem, HeldCommitment, Reserves, VolumeTier
from data.prices import load_prices, offers
from data.records import CapacityTable, Offer, Source

OWNED_LEAD_MONTHS = 4
"""From order to service of hardware that says nothing else (assumption, 2026-11)."""


def fleet_problem(scenario: Scenario, forecast: Forecast, capacity: CapacityTable) -> FleetProblem:
    """The fleet problem of a scenario.

    Only GPUs that some feasible configuration uses are offered. Raises InputError where no region can buy any.
    """
    policy = scenario.plan
    traffic = {(find_llm(one.llm).name, one.request_class) for one in scenario.traffic.series}
    feasible = tuple(row for row in capacity.feasible() if (row.configuration.llm, row.request_class) in traffic)
    useful = {row.configuration.gpu for row in feasible} or set(scenario.evaluate.gpus)
    buyable = offers(policy.regions, useful, policy.purchase_options, load_prices())
    for held in policy.commitments:
        if held.gpu not in scenario.evaluate.gpus:
            raise InputError(
                "plan.commitments",
                "GPUs that are evaluated",
                held.gpu,
                f"Add {held.gpu} to evaluate.gpus ({', '.join(scenario.evaluate.gpus)}).",
            )
    owned = tuple(
        Offer(
            one.region, one.gpu, "owned", one.usd_per_gpu_h, one.life_months, "own", one.region,
            Source(one.source, one.as_of), gpus_per_node=one.gpus_per_node,
            lead_time_months=policy.lead_time_months.get("owned", OWNED_LEAD_MONTHS)
            if one.lead_time_months is None
            else one.lead_time_months,
        )
        for one in policy.owned
        if one.gpu in useful
    )  # fmt: skip
    origins = {key.region for key in forecast.demand.series}
    classes = scenario.traffic.classes
    return FleetProblem(
        demand=forecast.demand,
        capacities=feasible,
        offers=(*buyable, *owned),
        regions=tuple(policy.regions),
        quotas={
            (name, gpu): limit for name, region in policy.regions.items() for gpu, limit in region.gpu_quota.items()
        },
        may_serve={origin: policy.may_serve.get(origin, (origin,)) for origin in sorted(origins)},
        shed_usd_per_request={name: one.shed_usd_per_request for name, one in classes.items()},
        protected={name: one.protected for name, one in classes.items()},
        held=tuple(
            HeldCommitment(one.region, one.gpu, one.gpus, one.usd_per_gpu_h, one.expires) for one in policy.commitments
        ),
        failures_per_pool=policy.failures_per_pool,
        rollout_surge=policy.rollout_surge,
        on_demand_share_min=policy.on_demand_share_min,
        commitment_lead_time_months=policy.commitment_lead_time_months,
        budget_usd_per_month=policy.budget_usd_per_month,
        cvar_weight=policy.cvar_weight,
        cvar_alpha=policy.cvar_alpha,
        mip_gap=policy.mip_gap,
        time_limit_s=policy.time_limit_s,
        seed=scenario.seed,
        planning_quantile=policy.planning_quantile,
        residual_value=policy.residual_value,
        pool_start_usd=policy.pool_start_usd,
        reserves=Reserves(**policy.reserves.model_dump()),
        whole_nodes=policy.whole_nodes,
        lead_time_months=dict(policy.lead_time_months),
        api={
            (find_llm(one.llm).name, one.request_class): ApiOffer(
                one.usd_per_request, float("inf") if one.rps_max is None else one.rps_max
            )
            for one in policy.api
        },
        spot_share_max=policy.spot_share_max,
        spot_interrupted_share=policy.spot_interrupted_share,
        facilities={
            name: Facility(
                None if site.power_kw is None else 1e3 * site.power_kw,
                site.pue,
                {gpu: find_gpu(gpu).tdp_w * site.server_power_factor for gpu in sorted(useful)},
                site.racks,
                site.gpus_per_rack,
            )
            for name, region in policy.regions.items()
            if (site := region.facility) is not None
        },
        churn_gpus_max=policy.churn.gpus_max,
        churn_usd_per_gpu=policy.churn.usd_per_gpu,
        minimum_gpus=dict(policy.minimum_gpus),
        volume_tiers=tuple(
            VolumeTier(one.option, one.from_gpus, one.discount, one.gpu or "") for one in policy.volume_discounts
        ),
    )
