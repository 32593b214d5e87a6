"""Stored devices, what `--device` chooses, and what a check finds."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tlm_edge.bench.devices import LOCAL, Address, Listing, adb, choose, ssh
from tlm_edge.bench.devices.check import spoilers
from tlm_edge.bench.devices.choose import choose_device
from tlm_edge.bench.devices.stored import forget_device, store_device, stored_devices, stored_file
from tlm_edge.bench.machine import Conditions
from tlm_edge.cli import app
from tlm_edge.runtime.errors import UserError

QUIET = Conditions(1800.0, 1800.0, "performance", 45.0, 0.1, 3000.0, "0x0", None)


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CONFIG", str(tmp_path / "settings"))
    monkeypatch.setattr(adb, "attached", list)


def answers(monkeypatch, *reachable: str) -> None:
    """Let the hosts named answer, as if they were on the network, and no others."""

    def listings(stored):
        return [
            Listing(one, one.at in reachable, "up" if one.at in reachable else f"{one.at} is off") for one in stored
        ]

    monkeypatch.setattr(ssh, "listings", listings)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_devices_are_stored_replaced_and_removed():
    assert stored_devices() == ()
    first = Address("kitchen", "ssh", "pi@raspberrypi.local", "rpi4")
    second = Address("phone", "adb", "R58N12ABCDE")
    store_device(first)
    store_device(second)
    assert stored_devices() == (first, second)
    with pytest.raises(UserError, match="there is a device 'kitchen' already: replace it with --force"):
        store_device(Address("kitchen", "ssh", "elsewhere"))
    store_device(Address("kitchen", "ssh", "elsewhere"), force=True)
    assert Address("kitchen", "ssh", "elsewhere") in stored_devices()
    forget_device("kitchen")
    assert stored_devices() == (second,)
    with pytest.raises(UserError, match=r"no stored device 'kitchen' \(there are: phone\)"):
        forget_device("kitchen")


def test_odd_words_come_back_as_they_were():
    odd = Address("pi.4_b", "ssh", 'ü"\\\x7f', "my boards/é.toml")
    store_device(odd)
    assert stored_devices() == (odd,)


@pytest.mark.parametrize("name", ["", "local", "a/b", "../up", "-x", "two words", "a\nb"])
def test_what_can_not_be_a_folder_can_not_be_a_name(name):
    with pytest.raises(UserError, match="can't name a device|is this machine"):
        store_device(Address(name, "ssh", "host"))
    assert not stored_file().exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pi", "can't be read"),
        ("pi = 3", "pi is no device"),
        ('[pi]\nhost = "a"\nserial = "b"', "pi wants host or serial, one of them"),
        ('[pi]\nhost = "a"\npassword = "b"', "pi wants host or serial"),
        ("[pi]\nhost = 3", "pi is no device"),
    ],
)
def test_a_damaged_file_is_named(text, message):
    stored_file().parent.mkdir(parents=True)
    stored_file().write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        stored_devices()
    assert str(stored_file()) in str(raised.value)


def test_the_commands_store_and_refuse():
    output = run("devices", "add", "rpi5", "--host", "pi@raspberrypi.local")
    assert "tlm-edge devices check rpi5" in output
    assert stored_devices() == (Address("rpi5", "ssh", "pi@raspberrypi.local", "rpi5"),)
    run("devices", "add", "shelf", "--serial", "R58N", "--profile-name", "pixel6")
    assert stored_devices()[1] == Address("shelf", "adb", "R58N", "pixel6")
    with pytest.raises(UserError, match="one of them"):
        run("devices", "add", "x")
    with pytest.raises(UserError, match="no device profile 'rpi9'"):
        run("devices", "add", "x", "--host", "x", "--profile-name", "rpi9")
    with pytest.raises(UserError, match="is no SSH destination"):
        run("devices", "add", "x", "--host=-oProxyCommand=reboot")
    with pytest.raises(UserError, match="is no adb serial"):
        run("devices", "add", "x", "--serial=-e")
    with pytest.raises(UserError, match=r"no stored device 'nobody' \(there are: local, rpi5, shelf\)"):
        run("devices", "check", "nobody")


def test_the_list_names_devices_and_profiles(monkeypatch):
    answers(monkeypatch)
    run("devices", "add", "kitchen", "--host", "pi@off")
    listed = json.loads(run("devices", "--json"))
    found = {one["address"]["name"]: one for one in listed["devices"] if one["address"]["transport"] != "emulated"}
    assert found["local"]["reachable"]
    assert not found["kitchen"]["reachable"]
    assert {"rpi4", "rpi5", "android"} <= {profile["name"] for profile in listed["profiles"]}
    shown = run("devices")
    assert "kitchen" in shown
    assert "Raspberry Pi 5" in shown


def test_a_device_is_chosen_by_its_own_name_or_its_profile(monkeypatch):
    answers(monkeypatch, "pi@shelf")
    store_device(Address("kitchen", "ssh", "pi@kitchen", "rpi4"))
    store_device(Address("shelf", "ssh", "pi@shelf", "rpi4"))
    assert choose_device(None).address == LOCAL
    assert choose_device("kitchen").address == Address("kitchen", "ssh", "pi@kitchen", "rpi4")
    choice = choose_device("rpi4")
    assert choice.address == Address("rpi4", "ssh", "pi@shelf", "rpi4")
    assert choice.notice == ""


def test_a_profile_without_a_board_is_emulated_and_it_is_said(monkeypatch):
    choice = choose_device("rpi5")
    assert choice.address == Address("rpi5", "emulated", "", "rpi5")
    assert choice.notice.startswith("Emulating a Cortex-A76 (Raspberry Pi 5)")
    assert "nothing is measured" in choice.notice
    answers(monkeypatch)
    store_device(Address("rpi4", "ssh", "pi@off", "rpi4"))
    assert "pi@off is off" in choose_device("rpi4").notice
    answers(monkeypatch, "pi@off")
    assert choose_device("rpi4", emulate=True).address.transport == "emulated"


def test_a_host_needs_no_store():
    assert choose_device(None, host="pi@raspberrypi.local").address == Address(
        "raspberrypi.local", "ssh", "pi@raspberrypi.local"
    )
    assert choose_device("rpi4", host="ssh://pi@10.0.0.4:2222").address == Address(
        "rpi4", "ssh", "ssh://pi@10.0.0.4:2222", "rpi4"
    )
    assert choose_device("den", host="x").address == Address("den", "ssh", "x")
    with pytest.raises(UserError, match="give one of them"):
        choose_device("rpi4", host="x", emulate=True)


def test_phones_are_chosen_by_being_attached(monkeypatch):
    with pytest.raises(UserError, match="android can't be measured: no such phone is attached; nor emulated"):
        choose_device("android")
    phones = [adb.Attached("R58N", "Pixel 6", "")]
    monkeypatch.setattr(adb, "attached", lambda: phones)
    assert choose_device("android").address == Address("android", "adb", "R58N", "android")
    assert choose_device("pixel6").address == Address("pixel6", "adb", "R58N", "pixel6")
    phones.append(adb.Attached("R59X", "SM S911B", ""))
    with pytest.raises(UserError, match=r"several phones are attached \(R58N, R59X\)"):
        choose_device("android")
    phones[:] = [adb.Attached("R58N", "", adb._FAULTS["unauthorized"])]
    with pytest.raises(UserError, match="the phone R58N is not authorized: unlock it"):
        choose_device("android")


def test_what_is_no_device_is_told_with_those_there_are():
    store_device(Address("den", "ssh", "x"))
    with pytest.raises(UserError, match=r"no device 'toaster': choose local, den, rpi3, .*or a profile of your own"):
        choose_device("toaster")
    with pytest.raises(UserError, match=r"no profile file mine\.toml"):
        choose_device("mine.toml")


def test_a_quiet_device_is_fit(monkeypatch):
    assert spoilers(QUIET) == []
    monkeypatch.setattr(choose, "stored_devices", tuple)
    assert "runs onnx" in run("devices", "check", "local")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"governor": "ondemand"}, "the governor is ondemand"),
        ({"clock_mhz": 1000.0}, "the clock is 1000 of 1800 MHz"),
        ({"temperature_c": 75.0}, "it has 75 °C and slows down from 80 °C on"),
        ({"throttled": "0x4"}, "the firmware reports 0x4: throttled"),
        ({"throttled": "0x10000"}, "too little voltage since it started"),
        ({"throttled": "odd"}, "the firmware reports odd: not known"),
        ({"load_average": 2.0}, "the load average is 2.00"),
        ({"on_battery": True}, "on battery"),
    ],
)
def test_what_would_spoil_a_measurement_is_told(change, words):
    (found,) = spoilers(Conditions(**{**QUIET.__dict__, **change}))
    assert words in found
