"""Lists of networks: the most specific one decides, as a plain search through all of them would."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.networks import Networks, NetworksError, packed_address, read_networks

# Few bits, so that networks nest and touch.
four = st.builds(
    lambda bits, length: ipaddress.ip_network((bits << 28, length), strict=False),
    st.integers(0, 15), st.integers(0, 8),
)  # fmt: skip
six = st.builds(
    lambda bits, length: ipaddress.ip_network((bits << 124, length), strict=False),
    st.integers(0, 15), st.integers(0, 8),
)  # fmt: skip
lists = st.dictionaries(four | six, st.sampled_from(("datacentre", "university", "vpn")), max_size=12)


def plainly(networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str], address: str) -> str:
    """The reference: look at every network."""
    ip = ipaddress.ip_address(address)
    around = [network for network in networks if network.version == ip.version and ip in network]
    return networks[max(around, key=lambda network: network.prefixlen)] if around else ""


@given(lists, st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_the_most_specific_network_decides_as_a_plain_search_finds_it(
    networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    listed = Networks((str(network), name) for network, name in networks.items())
    assert len(listed) == len(networks)
    if getattr(address, "ipv4_mapped", None) is None:
        assert listed.class_of(packed_address(str(address))) == plainly(networks, str(address))
    for network in networks:
        for edge in (network[0], network[-1]):
            if getattr(edge, "ipv4_mapped", None) is None:
                assert listed.class_of(packed_address(str(edge))) == plainly(networks, str(edge))


def test_an_ipv4_address_in_ipv6_clothes_is_that_address() -> None:
    assert packed_address("::ffff:192.0.2.1") == packed_address("192.0.2.1") == bytes((192, 0, 2, 1))
    assert Networks([("192.0.2.0/24", "datacentre")]).class_of(packed_address("::ffff:192.0.2.1")) == "datacentre"


def test_what_is_no_address_is_in_no_network() -> None:
    everything = Networks([("0.0.0.0/0", "a"), ("::/0", "b")])
    assert [everything.class_of(packed_address(text)) for text in ("", "unix:", "1.2.3", "1.2.3.4", "::1")] == [
        "", "", "", "a", "b"
    ]  # fmt: skip


def test_a_file_has_a_network_a_line_with_its_class_and_remarks(tmp_path: Path) -> None:
    path = tmp_path / "networks.txt"
    path.write_text("# from the registries\n\n192.0.2.0/24 # a hoster\n192.0.2.128/25\tuniversity\n2001:db8::/32 vpn\n"
                    "198.51.100.7\n", encoding="utf-8")  # fmt: skip
    networks = read_networks(path)
    assert len(networks) == 4
    found = {text: networks.class_of(packed_address(text)) for text in (
        "192.0.2.1", "192.0.2.200", "192.0.3.0", "2001:db8::9", "198.51.100.7", "198.51.100.8")}  # fmt: skip
    assert list(found.values()) == ["datacentre", "university", "", "vpn", "datacentre", ""]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("192.0.2.1/24", "has host bits"),
        ("192.0.2.0/33", "is no network"),
        ("192.0.2.0/", "is no network"),
        ("192.0.2.0/-1", "is no network"),
        ("192.0.2.0/0x8", "is no network"),
        ("example.org", "is no network"),
        ("2001:db8::/129", "is no network"),
        ("192.0.2.0/24 two words", "at most one class"),
        ("192.0.2.0/24 Hoster", "at most one class"),
    ],
)
def test_a_line_that_is_no_network_is_named(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "networks.txt"
    path.write_text(f"10.0.0.0/8\n{line}\n", encoding="utf-8")
    with pytest.raises(NetworksError, match=what) as error:
        read_networks(path)
    assert f"{path}, line 2" in str(error.value)


def test_a_network_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "networks.txt"
    path.write_text("10.0.0.0/8 vpn\n10.0.0.0/8\n", encoding="utf-8")
    with pytest.raises(NetworksError, match="stands twice"):
        read_networks(path)
