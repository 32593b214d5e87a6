from __future__ import annotations

from dataclasses import replace

from tlm_edge.bench.validity import judge


def quiet(blocks):
    """The blocks as they would be on an idle machine, every round as the first."""
    return [
        replace(block, others_busy_cores=0.02, tokenize_us=blocks[0].tokenize_us, model_us=blocks[0].model_us)
        for block in blocks
    ]


def blocks_of(measured):
    return quiet(measured[0].records[0].blocks)


def test_a_quiet_complete_measurement_is_valid(measured, test_profile):
    validity = judge(blocks_of(measured), test_profile)
    assert validity.valid
    assert validity.reasons == ()


def test_other_load_is_named(measured, test_profile):
    busy = [replace(block, others_busy_cores=0.9) for block in blocks_of(measured)]
    validity = judge(busy, test_profile)
    assert not validity.valid
    assert validity.reasons == ("other load: other processes kept 0.90 cores busy (limit 0.25)",)


def test_missing_rounds_samples_and_time_are_named(measured, test_profile):
    one = replace(blocks_of(measured)[0], model_us=(900.0,), tokenize_us=(50.0,), wall_seconds=0.001)
    kinds = [reason.split(":")[0] for reason in judge([one], test_profile).reasons]
    assert kinds == ["too few samples", "too short", "too few rounds"]


def test_unsteady_rounds_are_named(measured, test_profile):
    blocks = blocks_of(measured)
    slow = [replace(block, model_us=tuple(2 * value for value in block.model_us)) for block in blocks[2:]]
    assert judge([*blocks[:2], *slow], test_profile).reasons[0].startswith("unsteady: ")


def test_heat_falling_clock_and_throttling_are_named(measured, test_profile):
    blocks = blocks_of(measured)
    cool = replace(blocks[0].after, temperature_c=60.0, clock_mhz=1800.0, governor="ondemand", throttled="0x0")
    hot = replace(cool, temperature_c=84.0, clock_mhz=1000.0, throttled="0x50005")
    states = [cool, cool, hot, hot]
    told = [replace(block, before=state, after=state) for block, state in zip(blocks, states, strict=True)]
    validity = judge(told, test_profile)
    assert [reason.split(":")[0] for reason in validity.reasons] == [
        "hot",
        "the clock fell from 1800 to 1000 MHz",
        "throttled",
    ]
    assert "the CPU governor is ondemand, so the clock may vary" in validity.notes


def test_past_throttling_alone_is_no_reason(measured, test_profile):
    blocks = blocks_of(measured)
    past = replace(blocks[0].after, throttled="0x50000")
    assert judge([replace(block, before=past, after=past) for block in blocks], test_profile).valid


def test_silent_systems_and_batteries_are_noted(measured, test_profile):
    blocks = blocks_of(measured)
    silent = replace(
        blocks[0].after, clock_mhz=None, governor=None, temperature_c=None, throttled=None, on_battery=True
    )
    told = [replace(block, before=silent, after=silent, others_busy_cores=None) for block in blocks]
    validity = judge(told, test_profile)
    assert validity.valid
    assert len(validity.notes) == 4
