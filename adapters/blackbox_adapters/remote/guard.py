"""Which hosts may be asked when a third party names them: public addresses only, pinned."""

from __future__ import annotations

import ipaddress
import socket

from blackbox.errors import ModelError, RequestError

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address, which the gateway connects to."""


def public_address(host: str, port: int) -> str:
    """Resolve a host once and return the address that every request must go to.

    Asking the resolver again for every connection would let its owner answer with a private address the
    second time (DNS rebinding), so the caller connects to what is returned here.

    Raises
    ------
    RequestError : any of its addresses is private, local, or otherwise not of the public internet.
    ModelError : the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ModelError(f"The host {host} cannot be resolved.") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses:
        raise ModelError(f"The host {host} has no address.")
    for address in addresses:
        if not _is_public(address):
            raise RequestError(
                f"The host {host} is refused: one of its addresses is private or local, and only public "
                "ones may be asked here."
            )
    return str(addresses[0])


def _is_public(address: Ip) -> bool:
    """Judge an address, and whatever IPv4 address is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(one is not None and not _is_public(one) for one in inner):
            return False
    return address.is_global and not address.is_multicast
