"""The fleet MIP, declared: the rules of each topic, put together. Data in, Pyomo model out; no solver here."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from optimizer.capacity import add_capacity
from optimizer.churn import add_churn
from optimizer.commitments import add_commitments
from optimizer.cost import add_cost
from optimizer.facility import add_facility
from optimizer.frame import Frame
from optimizer.inventory import add_inventory
from optimizer.lots import add_lots
from optimizer.reserves import add_region_loss, add_zone_loss
from optimizer.routing import add_routing


def build_model(frame: Frame) -> Any:
    """The Pyomo model of a problem over its pruned sets."""
    model = pyo.ConcreteModel()
    add_routing(model, frame)
    add_capacity(model, frame)
    add_zone_loss(model, frame)
    add_region_loss(model, frame)
    add_commitments(model, frame)
    add_lots(model, frame)
    add_inventory(model, frame)
    add_facility(model, frame)
    add_churn(model, frame)
    add_cost(model, frame)
    return model
