"""Public and non-public IP addresses."""

import pytest
from bookwheel_runtime.addresses import is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "100.100.100.200", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("192.0.0.8", "192.0.0.170", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *("2001::1", "5f00::1", "fec0::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
        *("::ffff:0:0", "::127.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "127.1"),
        *("0x7f000001", "2130706433", "1.2.3.4.5", "example.com", ""),
    ],
)
def test_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)
