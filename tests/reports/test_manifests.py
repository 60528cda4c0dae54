"""Manifests: valid against the public schemas, the same bytes for the same plan, and closed to what names may hold."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from data.catalog import driver_name, engine_serving, load_engines
from data.scaling_records import SIGNALS, Rate, ScalerPolicy
from reports.manifests import texts
from reports.manifests.engines import Serving, command, query, unsaid
from reports.manifests.names import dns_name, label_value
from reports.manifests.nodes import resource
from reports.manifests.pool import PoolManifest
from reports.manifests.render import render
from reports.manifests.scalers import milli, number, spans
from reports.manifests.yaml_text import document, quoted

SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text(encoding="utf-8"))
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DNS = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi)?")

ENGINES = {name: said for name in load_engines() if (said := engine_serving(name))}
SERVING = Serving(
    ENGINES["vllm"], "meta-llama/Llama-3.1-70B", "Llama-3.1-70B", 4, 1, 1, 256, 8192, 131072, 0.88, "bf16", True
)  # fmt: skip
POLICY = ScalerPolicy("concurrency", 33.4, 3, 12, headroom=2, down_window_s=600.0, smoothing_s=15.0)
POOL = PoolManifest(
    "default", "Llama-3.1-70B", ("chat", "code"), "us-east", "H100-SXM", "fp8", 4, "nvidia.com/gpu", 12, 1, 0, 2,
    SERVING, "vllm/vllm-openai:v0.19.0", "llm-serving", "http://prometheus:9090", 800_000.0, 133.0, 60.0, POLICY,
)  # fmt: skip
PLAN: dict[str, Any] = {
    "scenario": "default",
    "fingerprint": "abc",
    "months": ["2026-12", "2027-01"],
    "pools": [
        {"region": "us-east", "configuration": {"gpu": "H100-SXM"}, "month": "2026-12", "gpus": 40},
        {"region": "us-east", "configuration": {"gpu": "H100-SXM"}, "month": "2027-01", "gpus": 48},
    ],
    "purchases": [],
    "costs": [{"month": "2026-12", "cash_usd": 100_000.0, "committed_usd": 40_000.0}],
}
hostile = st.one_of(
    st.text(max_size=90),
    st.sampled_from(
        [
            "", " ", "a: b", "- x", "{x}", "x\nkind: Secret", "x\r\n---\napiVersion: v1", "y", "null", "0x1f", "1e3",
            "*anchor", "&a", "!!python/object/apply:os.system [id]", "'", '"', "\\", "\x00\x07\x85\u2028\ufeff", "😀",
            "\ud800", "$(rm -rf /)", "`id`", "#", "%YAML", "a" * 200, "-a-", "A/B:c+d", "{{ .Values.x }}", "=1+1",
            '"} or vector(1e9) #', "| --- |", "<script>",
        ]
    ),
)  # fmt: skip


VALIDATORS = {
    kind: jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": SCHEMAS["definitions"]})
    for kind, name in SCHEMAS["kinds"].items()
}


def check(one: dict[str, Any]) -> None:
    """One object against its schema; metadata as Kubernetes takes it, which no schema says."""
    VALIDATORS[one["kind"]].validate(one)
    meta = one["metadata"]
    assert DNS.fullmatch(meta["name"])
    for key, value in meta["labels"].items():
        assert LABEL.fullmatch(value), (key, value)
    assert all(isinstance(value, str) for value in meta["annotations"].values())


def whole(one: Any) -> Any:
    """Half characters come back as the sign for what is none."""
    if isinstance(one, str):
        return "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in one)
    if isinstance(one, dict):
        return {whole(key): whole(each) for key, each in one.items()}
    return [whole(each) for each in one] if isinstance(one, list) else one


def objects(files: dict[str, str]) -> list[dict[str, Any]]:
    return [one for name, text in files.items() if name.endswith(".yaml") for one in yaml.load_all(text, LOADER)]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("policy", [POLICY, None])
def test_everything_is_valid(engine: str, policy: ScalerPolicy | None) -> None:
    pool = replace(POOL, serving=replace(SERVING, engine=ENGINES[engine]), policy=policy)
    found = objects(render(PLAN, [pool], {}))
    kinds = {one["kind"] for one in found}
    always = {"Deployment", "Service", "PodDisruptionBudget", "InferenceService"}
    assert kinds == (always | {"ScaledObject", "HorizontalPodAutoscaler"} if policy else always)
    for one in found:
        check(one)
    (workload,) = [one for one in found if one["kind"] == "Deployment"]
    assert ("replicas" in workload["spec"]) == (policy is None)
    selector = workload["spec"]["selector"]["matchLabels"].items()
    assert selector <= workload["spec"]["template"]["metadata"]["labels"].items()
    # One beside the Deployment, one beside the InferenceService that stands in its place: of the same pods' labels.
    budget, served = [one for one in found if one["kind"] == "PodDisruptionBudget"]
    assert budget == served
    assert budget["spec"]["maxUnavailable"] == 1
    (service,) = [one for one in found if one["kind"] == "InferenceService"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= service["spec"]["predictor"]["labels"].items()
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"


def test_the_schemas_are_schemas_and_refuse_what_is_wrong() -> None:
    jsonschema.Draft7Validator.check_schema({"definitions": SCHEMAS["definitions"]})
    for one in objects(render(PLAN, [POOL], {})):
        for path in (("spec", "nonsense"), ("metadata", "nonsense")):
            broken = copy.deepcopy(one)
            broken[path[0]][path[1]] = 1
            with pytest.raises(jsonschema.ValidationError):
                check(broken)


@pytest.mark.parametrize(
    ("engine", "plain", "more"),
    [
        (
            "vllm",
            "vllm serve meta-llama/Llama-3.1-70B --served-model-name Llama-3.1-70B --host 0.0.0.0 --port 8000 "
            "--tensor-parallel-size 4 --pipeline-parallel-size 1 --max-num-seqs 256 --max-num-batched-tokens 8192 "
            "--max-model-len 131072 --gpu-memory-utilization 0.88 --kv-cache-dtype auto",
            "vllm serve meta-llama/Llama-3.1-70B --served-model-name Llama-3.1-70B --host 0.0.0.0 --port 8000 "
            "--tensor-parallel-size 4 --pipeline-parallel-size 2 --max-num-seqs 256 --max-num-batched-tokens 8192 "
            "--max-model-len 131072 --gpu-memory-utilization 0.88 --kv-cache-dtype fp8 --quantization fp8 "
            "--enable-expert-parallel",
        ),
        (
            "sglang",
            "python3 -m sglang.launch_server --model-path meta-llama/Llama-3.1-70B --served-model-name Llama-3.1-70B "
            "--host 0.0.0.0 --port 8000 --tp-size 4 --pp-size 1 --max-running-requests 256 --chunked-prefill-size 8192 "
            "--context-length 131072 --mem-fraction-static 0.88 --kv-cache-dtype auto --enable-metrics",
            "python3 -m sglang.launch_server --model-path meta-llama/Llama-3.1-70B --served-model-name Llama-3.1-70B "
            "--host 0.0.0.0 --port 8000 --tp-size 4 --pp-size 2 --max-running-requests 256 --chunked-prefill-size 8192 "
            "--context-length 131072 --mem-fraction-static 0.88 --kv-cache-dtype fp8_e4m3 --enable-metrics "
            "--quantization fp8 --ep-size 4",
        ),
        (
            "trtllm",
            "trtllm-serve meta-llama/Llama-3.1-70B --backend pytorch --host 0.0.0.0 --port 8000 --tp_size 4 "
            "--pp_size 1 --max_batch_size 256 --max_num_tokens 8192 --max_seq_len 131072 "
            "--kv_cache_free_gpu_memory_fraction 0.88",
            "trtllm-serve meta-llama/Llama-3.1-70B --backend pytorch --host 0.0.0.0 --port 8000 --tp_size 4 "
            "--pp_size 2 --max_batch_size 256 --max_num_tokens 8192 --max_seq_len 131072 "
            "--kv_cache_free_gpu_memory_fraction 0.88 --ep_size 4",
        ),
    ],
)
def test_each_engine_is_told_in_its_own_words(engine: str, plain: str, more: str) -> None:
    """plain: as it is started; more: with fp8 of its own making, an fp8 cache, two stages and spread experts."""
    one = replace(SERVING, engine=ENGINES[engine], quantize=False)
    assert command(one) == plain.split()
    assert unsaid(one) == ""
    all_of_it = replace(one, quantize=True, kv_precision="fp8", pipeline_parallel=2, expert_parallel=4)
    assert command(all_of_it) == more.split()
    # trtllm-serve has no argument for the cache's precision.
    assert ("an fp8 KV cache" in unsaid(all_of_it)) == (engine == "trtllm")


def test_signals_are_read_over_the_pool_and_headroom_is_in_their_unit() -> None:
    for engine in ("vllm", "sglang", "trtllm"):
        for signal in SIGNALS[1:]:
            text = query(ENGINES[engine], signal, "ns", "pool", 1000.0, 15.0)
            assert 'namespace="ns",pod=~"pool-.*"' in text
            assert text.startswith("sum(")
    (keda,) = [
        one
        for one in objects(render(PLAN, [POOL], {}))
        if one["metadata"]["name"] == POOL.name and one["kind"] == "ScaledObject"
    ]
    (trigger,) = keda["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == "33.4"
    assert trigger["metadata"]["query"].endswith("+ 66.8")
    small = replace(POOL, policy=replace(POLICY, signal="kv_cache", target=0.0217, headroom=1))
    found = objects(render(PLAN, [small], {}))
    metadata = next(one for one in found if one["kind"] == "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert metadata["threshold"] == "2.17"
    assert metadata["query"].startswith("(sum(avg_over_time(vllm:kv_cache_usage_perc{")
    assert metadata["query"].endswith(") * 100 + 2.17")
    assert (keda["spec"]["minReplicaCount"], keda["spec"]["maxReplicaCount"]) == (3, 12)
    down = keda["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down == {
        "stabilizationWindowSeconds": 600,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }


def test_a_forecast_becomes_a_schedule_that_begins_early() -> None:
    policy = replace(POLICY, forecast_rps=8.0, lead_s=600.0, up=Rate(pods=2, percent=None, select="min"))
    pool = replace(POOL, policy=policy, schedule=(4,) * 8 + (9,) * 10 + (6,) * 6)
    found = [one for one in objects(render(PLAN, [pool], {})) if one["kind"] == "ScaledObject"]
    crons = [one["metadata"] for one in found[0]["spec"]["triggers"] if one["type"] == "cron"]
    assert [(one["start"], one["end"], one["desiredReplicas"]) for one in crons] == [
        ("50 7 * * *", "0 18 * * *", "9"),
        ("50 17 * * *", "0 0 * * *", "6"),
    ]
    assert found[0]["spec"]["minReplicaCount"] == 4
    assert spans((1, 1, 2)) == [(0, 2, 1), (2, 3, 2)]
    for one in found:
        check(one)


def test_standby_pods_hold_a_replicas_room_and_yield() -> None:
    files = render(PLAN, [replace(POOL, policy=replace(POLICY, standby_nodes=3))], {})
    assert not any("/standby/" in path for path in CALM)
    (text,) = [text for path, text in files.items() if "/standby/" in path]
    priority, workload = yaml.safe_load_all(text)
    check(priority)
    check(workload)
    assert priority["value"] < 0
    assert workload["spec"]["replicas"] == 3
    pod = workload["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == priority["metadata"]["name"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    # Neither the pool's Deployment and Service nor its signal count them.
    (own,) = [one for one in objects(CALM) if one["kind"] == "Deployment"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert not own["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_pods_go_to_nodes_with_their_gpu() -> None:
    for gpu, expected in (
        ("H100-SXM", {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}),
        ("MI300X", {"fleetcast.io/gpu": "MI300X"}),
    ):
        pool = replace(POOL, gpu=gpu, gpu_resource=resource("amd"), driver_name=driver_name(gpu))
        files = render(PLAN, [pool], {})
        (workload,) = [one for one in objects(files) if one["kind"] == "Deployment"]
        pod = workload["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == expected
        assert pod["containers"][0]["resources"]["limits"]["amd.com/gpu"] == "4"
        assert ("must carry the label" in files["index.json"]) == (gpu == "MI300X")


def test_a_rollout_takes_the_room_that_the_plan_holds() -> None:
    for surge, expected in ((0, {"maxSurge": 0, "maxUnavailable": 1}), (2, {"maxSurge": 2, "maxUnavailable": 0})):
        found = objects(render(PLAN, [replace(POOL, surge=surge)], {}))
        (workload,) = [one for one in found if one["kind"] == "Deployment"]
        assert workload["spec"]["strategy"]["rollingUpdate"] == expected


@given(st.floats(1e-4, 1e9))
def test_numbers_are_quantities(value: float) -> None:
    assert QUANTITY.fullmatch(number(value))
    assert float(number(value)) == pytest.approx(value, rel=0.006)
    assert QUANTITY.fullmatch(milli(value))


CALM = render(PLAN, [POOL], {})
KINDS = [one["kind"] for one in objects(CALM)]


@settings(max_examples=30)
@given(hostile, hostile, hostile, hostile)
def test_names_cannot_break_out(llm: str, region: str, name: str, gpu: str) -> None:
    serving = replace(SERVING, served_name=llm)
    pool = replace(POOL, llm=llm, region=region, request_classes=(name,), gpu=gpu, scenario=name, serving=serving)
    held = {"region": region, "configuration": {"gpu": gpu}, "month": "2026-12", "gpus": 4}
    files = render(PLAN | {"scenario": name, "pools": [held]}, [pool], {})
    found = objects(files)
    # As many objects of the same kinds, wherever they come to lie.
    assert [one["kind"] for one in found] == KINDS
    assert all(DNS.fullmatch(part.split(".")[0]) for path in files for part in path.split("/"))
    for one in found:
        check(one)
        assert one["metadata"]["annotations"]["fleetcast.io/llm-name"] == whole(llm)
    (workload,) = [one for one in found if one["kind"] == "Deployment"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == [whole(word).replace("$", "$$") for word in command(serving)]
    # The query holds only our own names.
    (keda, _) = [one for one in found if one["kind"] == "ScaledObject"]
    assert re.fullmatch(r"[\w:(){}\[\]=~\",.*+\- ]+", keda["spec"]["triggers"][0]["metadata"]["query"])
    request = files["quota-request.md"].splitlines()
    assert len(request) == 7
    assert all(line.isprintable() for line in request)
    assert len(re.findall(r"(?<!\\)\|", request[-1])) == 8
    assert json.loads(files["budgets.json"])["scenario"] == name
    assert json.loads(files["index.json"])["pools"][0]["llm"] == llm


@given(hostile, hostile)
def test_names_are_labels_and_differ_where_texts_do(a: str, b: str) -> None:
    assert DNS.fullmatch(dns_name(a, b))
    assert LABEL.fullmatch(label_value(a))
    if a != b:
        assert dns_name(a) != dns_name(b)
        assert label_value(a) != label_value(b)
        assert dns_name(a, b) != dns_name(b, a)


def test_known_names_stay_readable() -> None:
    assert dns_name("us-east") == "us-east"
    assert label_value("Llama-3.1-70B") == "Llama-3.1-70B"
    assert dns_name("Llama-3.1-70B").startswith("llama-3-1-70b-")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_what_is_read(value: Any) -> None:
    text = document(value)
    assert text.isascii()
    read = yaml.safe_load(text)
    expected = whole(value)
    # PyYAML reads YAML 1.1, where 1e+16 is a text: floats are compared as such.
    assert json.dumps(read, default=str) == json.dumps(expected) or _alike(read, expected)


def _alike(read: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return float(read) == expected
    if isinstance(expected, dict):
        return (
            isinstance(read, dict)
            and read.keys() == expected.keys()
            and all(_alike(read[key], one) for key, one in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(read, list) and len(read) == len(expected) and all(map(_alike, read, expected))
    return bool(read == expected) and type(read) is type(expected)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        document({"abc": float("nan")})
    assert quoted('a"\n') == '"a\\"\\x0a"'


def test_the_same_plan_gives_the_same_bytes_in_the_same_order() -> None:
    other = replace(POOL, region="eu-north", llm="Qwen3-32B")
    assert render(PLAN, [POOL, other], {}) == render(PLAN, [POOL, other], {})
    assert list(render(PLAN, [POOL, other], {})) == sorted(render(PLAN, [POOL, other], {}))
    with pytest.raises(InputError, match="alike"):
        render(PLAN, [POOL, POOL], {})


def test_quota_is_asked_for_where_the_plan_needs_more_than_is_declared() -> None:
    text = texts.quota_request(PLAN, {"us-east": {"H100-SXM": 40}})
    assert "| us-east | H100-SXM | 48 | 2027-01 | 2026-12 | 40 | a limit of 48 or more |" in text
    assert "| nothing |" in texts.quota_request(PLAN, {"us-east": {"H100-SXM": 48}})
    # Nodes are bought whole: 56 in the second month, by a term that began in the first; what is owned asks for nothing.
    bought = {"region": "us-east", "gpu": "H100-SXM", "month": "2026-12", "option": "on_demand", "term_months": 0}
    nodes = [
        bought | {"gpus": 16, "option": "reserved_1y", "term_months": 12},
        bought | {"gpus": 24},
        bought | {"gpus": 40, "month": "2027-01"},
        bought | {"gpus": 99, "option": "owned", "term_months": 36},
    ]
    text = texts.quota_request(PLAN | {"purchases": nodes}, {"us-east": {"H100-SXM": 40}})
    assert "| us-east | H100-SXM | 56 | 2027-01 | 2026-12 | 40 | a limit of 56 or more |" in text
    one = json.loads(texts.budgets(PLAN))["budgets"][0]
    assert (one["amount_usd"], one["alerts_usd"]) == (100_000.0, [80_000.0, 100_000.0])


def test_ranks_of_attention_are_started_where_the_engine_has_words_for_them() -> None:
    ranked = replace(SERVING, tensor_parallel=1, expert_parallel=8, data_parallel=8)
    words = " ".join(command(ranked))
    assert "--tensor-parallel-size 1" in words
    assert "--enable-expert-parallel --data-parallel-size 8" in words
    assert unsaid(ranked) == ""
    other = replace(ranked, engine=ENGINES["sglang"])
    assert "--ep-size" not in command(other), "experts over ranks that it was not told of"
    assert "8 ranks of attention" in unsaid(other)
    assert "experts over 8 ranks" in unsaid(other)


def test_the_cache_of_a_replica_of_ranks_is_the_mean_of_theirs() -> None:
    one, eight = (query(ENGINES["vllm"], "kv_cache", "ns", "pods", 1000.0, 60.0, n) for n in (1, 8))
    assert eight == f"{one} / 8"


def test_what_capacities_count_on_of_a_gateway_is_said() -> None:
    notes = [
        json.loads(render(PLAN, [POOL], {}, routing)["index.json"])["notes"] for routing in ("round_robin", "random")
    ]
    assert any("put a gateway" in note for note in notes[0])
    assert not any("put a gateway" in note for note in notes[1])
