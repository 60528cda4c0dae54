"""Prefix cache, speculation, energy and split replicas: limits they must reach, laws they must obey."""

from __future__ import annotations

import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.disaggregation import Disaggregated, disaggregated
from models.phases import Phases, Speculation, phases

ENGINE = find_engine("vllm")


def one(
    gpu: str = "H100-SXM", tp: int = 4, llm: str = "Llama-3.1-70B", precision: str = "fp8", pp: int = 1
) -> Configuration:
    return Configuration(llm, gpu, precision, "bf16", tp, "vllm", pipeline_parallel=pp)


def ask(
    configuration: Configuration | None = None,
    batch: float = 16.0,
    prefix: float = 0.0,
    speculation: Speculation | None = None,
    inputs: float = 4000.0,
    outputs: float = 500.0,
) -> Phases:
    return phases(
        configuration or one(), load_llms(), load_gpus(), ENGINE, load_coefficients(), inputs, outputs, batch, prefix,
        speculation,
    )  # fmt: skip


def test_a_prefix_cache_saves_prefill_but_not_attention() -> None:
    shares = [ask(prefix=share) for share in (0.0, 0.3, 0.6, 0.9)]
    assert np.all(np.diff([p.prefill_s for p in shares]) < 0)
    assert np.all(np.diff([p.tpot_s for p in shares]) < 0)
    assert len({p.step_s for p in shares}) == 1
    # A tenth of 16,000 tokens still attends to all of them: more than a tenth of the time, and than 1,600 alone.
    whole, tenth, alone = ask(inputs=16_000), ask(inputs=16_000, prefix=0.9), ask(inputs=1600)
    assert tenth.prefill_s > 0.1 * whole.prefill_s
    assert tenth.prefill_s > alone.prefill_s


def test_speculation_emits_what_leviathan_says() -> None:
    assert Speculation(4, 0.8).tokens_per_step == pytest.approx(1 + 0.8 + 0.8**2 + 0.8**3 + 0.8**4)
    assert Speculation(4, 0.0).tokens_per_step == 1.0


def test_speculation_pays_while_memory_bound_and_not_when_nothing_is_accepted() -> None:
    plain = ask(batch=1.0)
    assert ask(batch=1.0, speculation=Speculation(3, 0.8)).tpot_s < 0.6 * plain.tpot_s
    assert ask(batch=1.0, speculation=Speculation(3, 0.0)).tpot_s > plain.tpot_s
    # At a large batch the verified tokens cost compute: the gain shrinks.
    gains = [ask(batch=b).tpot_s / ask(batch=b, speculation=Speculation(3, 0.8)).tpot_s for b in (1.0, 64.0, 512.0)]
    assert gains[0] > gains[1] > gains[2]


@pytest.mark.parametrize("bad", [(0, 0.5, 0.05), (3, 1.0, 0.05), (3, -0.1, 0.05), (3, 0.5, -1.0)])
def test_impossible_speculation_is_refused(bad: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="speculation"):
        Speculation(*bad)


@pytest.mark.parametrize("gpu", ["L4", "H100-SXM", "B200-SXM", "MI300X"])
@pytest.mark.parametrize("batch", [1.0, 32.0, 256.0])
def test_energy_lies_between_idle_and_the_power_limit(gpu: str, batch: float) -> None:
    found = ask(one(gpu, 1, "Llama-3.1-8B"), batch)
    assert 0.3 * found.joules_per_output_token_at_most <= found.joules_per_output_token * (1 + 1e-9)
    assert found.joules_per_output_token <= found.joules_per_output_token_at_most
    assert found.joules_per_output_token_at_most * found.output_tokens_per_s == pytest.approx(load_gpus()[gpu].tdp_w)
    assert "assumed" in found.energy_provenance
    assert found.provenance == ("roofline" if gpu in ("L4", "MI300X") else "fitted")


def test_energy_a_token_falls_with_batch() -> None:
    energy = [ask(batch=b).joules_per_output_token for b in (1.0, 4.0, 16.0, 64.0)]
    assert np.all(np.diff(energy) < 0)


def split(
    limit_s: float, inputs: float = 4000.0, outputs: float = 500.0, decode: Configuration | None = None
) -> Disaggregated | None:
    return disaggregated(
        one(tp=2), decode or one(), load_llms(), load_gpus(), ENGINE, load_coefficients(), inputs, outputs, limit_s
    )


def test_split_replicas_are_in_balance() -> None:
    found = split(0.03)
    assert found is not None
    assert found.tpot_s <= 0.03
    assert found.prefill_per_decode * found.prefill_rps == pytest.approx(found.decode_rps)
    gpus = found.prefill_per_decode * 2 + 4
    assert found.requests_per_s_per_gpu == pytest.approx(found.decode_rps / gpus)
    # 80 layers x 8 heads x 128 x 2 x 2 bytes = 328 kB a token, of which each of two ranks moves half at 0.7 x 450 GB/s.
    assert found.transfer_s == pytest.approx(4000 * 327_680 / 2 / (0.7 * 450e9), rel=0.01)


def test_a_tighter_limit_takes_smaller_batches_and_long_prompts_more_prefill() -> None:
    loose, tight, longer = split(0.05), split(0.02), split(0.05, inputs=16_000.0)
    assert loose is not None
    assert tight is not None
    assert longer is not None
    assert tight.batch < loose.batch
    assert tight.requests_per_s_per_gpu < loose.requests_per_s_per_gpu
    assert longer.prefill_per_decode > loose.prefill_per_decode


def test_what_cannot_hold_the_limit_or_fit_is_none() -> None:
    assert split(1e-4) is None
    assert split(1.0, decode=one(tp=1, precision="bf16")) is None
