"""The hive's settings: what joining writes is what starting reads, and mistakes are named."""

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.errors import ForbiddenError, HivemarkError, InvalidError, NotFoundError
from hivemark.hive import config as module
from hivemark.hive.config import Coordinator, Hive, Worker, encode_config, load_config, parse_config
from hivemark.protocol.keys import PrivateKey

KEY = PrivateKey.from_seed(b"s" * 32).public.base64
COORDINATOR = Coordinator(url="http://127.0.0.1:8090", network="home-1", service_key=KEY)
HOME = Path("/nowhere")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_what_is_written_is_read_back():
    hive = Hive(name="attic", region="US", slots=3, threads=2, simulated=("region",))
    worker = Worker(command=("run me", 'with "quotes"', "\\ and \t"), load_timeout_s=3.5)
    config = parse_config(encode_config(COORDINATOR, hive, worker=worker), home=HOME)
    assert (config.hive, config.worker, config.coordinator) == (hive, worker, COORDINATOR)
    assert config.threads == 2 and config.loaded_max == 4


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_command_survives_the_file(command):
    worker = Worker(command=tuple(command))
    raw = encode_config(COORDINATOR, Hive(name="attic"), worker=worker)
    assert parse_config(raw, home=HOME).worker == worker


def test_the_sample_in_the_docs_of_the_module_is_a_valid_file():
    sample = inspect.cleandoc(module.__doc__).partition("\n")[2]
    sample = sample.replace("<base64 of 32 bytes, pinned when the hive joined>", KEY)
    config = parse_config(sample.encode(), home=HOME)
    assert config.models[0].name == "my-model" and config.engines[0].name == "vllm"


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('name = "attic"', 'name = ""', "hive.name"),
        ('name = "attic"', 'name = "attic"\nslots = 0', "hive.slots"),
        ('name = "attic"', 'name = "attic"\nslot = 1', "hive.slot"),
        ('name = "attic"', 'name = "attic"\nregion = "us"', "hive.region"),
        (KEY, "AAAA", "coordinator.service_key"),
        ("[hive]", "[hives]", "hives"),
    ],
)
def test_mistakes_name_their_member(before, after, field):
    raw = encode_config(COORDINATOR, Hive(name="attic")).decode()
    assert before in raw
    with pytest.raises(InvalidError) as refused:
        parse_config(raw.replace(before, after).encode(), home=HOME)
    assert refused.value.field == field


def test_a_coordinator_on_another_machine_needs_tls():
    far = Coordinator(url="http://hive.example.org:8090", network="home-1", service_key=KEY)
    with pytest.raises(ForbiddenError):
        parse_config(encode_config(far, Hive(name="attic")), home=HOME)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_by_name(raw):
    with pytest.raises(HivemarkError):
        parse_config(raw, home=HOME)


def test_a_folder_that_has_not_joined_is_said_to_be_so(tmp_path):
    with pytest.raises(NotFoundError) as refused:
        load_config(tmp_path)
    assert refused.value.code == "hive_not_joined" and refused.value.hint
