"""How nodes with a GPU are told from others.

NVIDIA's GPU feature discovery labels a node `nvidia.com/gpu.product` with the name that nvidia-smi prints, dashes for
blanks. GPUs whose driver name is not known are asked for by a label of our own, which a cluster must be given.
"""

from __future__ import annotations

from reports.manifests.names import label_value

PRODUCT = "nvidia.com/gpu.product"
OWN = "fleetcast.io/gpu"
RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/xe"}


def node_label(gpu: str, driver_name: str | None) -> dict[str, str]:
    """The label of nodes that have the GPU, by what its driver calls it or, where that is not known, by our own."""
    if driver_name is None:
        return {OWN: label_value(gpu)}
    return {PRODUCT: label_value(driver_name.replace(" ", "-"))}


def resource(vendor: str) -> str:
    """The extended resource that a vendor's device plugin offers."""
    return RESOURCES.get(vendor.lower(), RESOURCES["nvidia"])
