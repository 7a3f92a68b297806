"""This machine's own address: Kubernetes refuses loopback in EndpointSlices."""

import fcntl
import ipaddress
import socket
import struct

from tiketi_local.errors import WorldError

_SIOCGIFADDR = 0x8915


def host_address() -> str:
    """IPv4 address of this machine that is not loopback. Raises WorldError when it has none."""
    candidates = [_toward_the_world(), *(_of_interface(name) for _, name in socket.if_nameindex())]
    for candidate in candidates:
        if candidate is not None and not ipaddress.ip_address(candidate).is_loopback:
            return candidate
    mend = "ip link add tiketi0 type dummy && ip addr add 192.168.254.1/32 dev tiketi0 && ip link set tiketi0 up"
    raise WorldError("this machine has no network address besides loopback", mend)


def _toward_the_world() -> str | None:
    """Source address of the default route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _of_interface(name: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", name.encode()[:15])
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None  # the interface has no IPv4 address
        return socket.inet_ntoa(answer[20:24])
