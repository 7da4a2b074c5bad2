"""What is declared exists, is named as it says, and can be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from outrider.obs.metrics import DECLARED, Declared, Metrics

WRITER = """
import sys
from outrider.obs.metrics import Metrics
metrics = Metrics()
metrics.accepted.inc(int(sys.argv[1]))
metrics.in_flight.set(int(sys.argv[1]))
metrics.settled.labels(fate="delivered").inc()
metrics.queue_time.observe(0.2)
if sys.argv[2] == "stays":
    sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
"""


def touch(metrics: Metrics) -> None:
    """Use every metric once, whatever its labels."""
    for name, value in vars(metrics).items():
        if isinstance(value, MetricWrapperBase):
            assert name.isidentifier()
            child = value.labels(*["x"] * len(value._labelnames)) if value._labelnames else value
            getattr(child, {"counter": "inc", "gauge": "set", "histogram": "observe"}[value._type])(1)


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: declared.name)
def test_each_is_rendered_under_its_name_with_its_meaning(declared: Declared) -> None:
    metrics = Metrics()
    touch(metrics)
    text = metrics.render()
    rendered = samples(text)
    name = declared.name + ("_count" if declared.kind == "histogram" else "")
    assert rendered[name] == 1
    assert declared.meaning in text.decode()
    assert f"# TYPE {declared.name} {declared.kind}" in text.decode()


def test_there_are_no_others() -> None:
    made = [value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase)]
    assert len(made) == len(DECLARED)


def test_names_and_words_are_complete() -> None:
    assert len({declared.name for declared in DECLARED}) == len(DECLARED)
    for declared in DECLARED:
        assert declared.name.startswith("outrider_")
        assert declared.name.endswith("_total") == (declared.kind == "counter")
        assert declared.meaning.endswith(".")
        assert declared.healthy
        assert declared.page_on
        assert bool(declared.buckets) == (declared.kind == "histogram")


def test_two_processes_in_one_test_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.accepted.inc(5)
    assert samples(one.render())["outrider_accepted_recipients_total"] == 5
    assert samples(other.render())["outrider_accepted_recipients_total"] == 0


@pytest.mark.slow
def test_any_process_renders_the_sum_of_its_node(tmp_path: Path) -> None:
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", WRITER, "3", "goes"], env=env, check=True, timeout=30)
    command = [sys.executable, "-c", WRITER, "4", "stays"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "ready\n"
        read = "import sys; from outrider.obs.metrics import Metrics; sys.stdout.buffer.write(Metrics().render())"
        found = subprocess.run([sys.executable, "-c", read], env=env, check=True, timeout=30, capture_output=True)
        living.communicate("go\n", timeout=30)
    rendered = samples(found.stdout)
    assert rendered["outrider_accepted_recipients_total"] == 7, "what the dead have counted stays counted"
    assert rendered["outrider_settled_attempts_total"] == 2
    assert rendered["outrider_delivery_seconds_count"] == 2
    assert b"pid=" not in found.stdout
