"""How TLS is asked for: flags, variables and the named cluster become one frozen section."""

from __future__ import annotations

from rcfail.errors import ConfigFault, UsageFault
from rcfail.settings.layers import NOTHING, Layers, Picked
from rcfail.settings.sections import Tls, Verify


def tls_of(layers: Layers) -> Tls:
    """TLS is on when it is asked for, and when any of its files is named and it is not forbidden."""
    flags = layers.flags
    verify = _verify(layers)
    ca_file = layers.text("tls.ca_file", "--cacert", "RCFAIL_CACERT", flags.cacert)
    ca_dir = layers.text("tls.ca_dir", "--cacertdir", "RCFAIL_CACERTDIR", flags.cacertdir)
    cert_file = layers.text("tls.cert_file", "--cert", "RCFAIL_CERT", flags.cert)
    key_file = layers.text("tls.key_file", "--key", "RCFAIL_KEY", flags.key)
    server_name = layers.text("tls.server_name", "--sni", "RCFAIL_SNI", flags.sni)
    if not _wanted(layers):
        return Tls()
    if key_file and not cert_file:
        fault = UsageFault if flags.key else ConfigFault
        raise fault("a key was named without its certificate", "Name both: --cert FILE --key FILE.")
    return Tls(True, ca_file, ca_dir, cert_file, key_file, server_name, verify)


def _wanted(layers: Layers) -> bool:
    """What is named at one place means TLS more than a yes or no at a place behind it."""
    asked = layers.flags.tls
    named = sorted(origin for key, origin in layers.origins.items() if key.startswith("tls."))
    found = layers.pick(
        "tls.enabled",
        NOTHING if asked is None else Picked(asked, "--tls" if asked else "--no-tls", UsageFault),
        *(Picked(True, origin) for origin in named if origin.startswith("--")),
        layers.truth("RCFAIL_TLS"),
        *(Picked(True, origin) for origin in named if origin.startswith("RCFAIL_")),
        layers.kept("tls.enabled"),
        layers.kept("tls"),
    )
    return bool(found.value)


def _verify(layers: Layers) -> Verify:
    flags = layers.flags
    if flags.insecure and flags.tls_verify not in (None, Verify.NONE):
        raise UsageFault("--insecure and --tls-verify exclude each other", "Give one of them.")
    found = layers.pick(
        "tls.verify",
        Picked(Verify.NONE, "--insecure", UsageFault) if flags.insecure else NOTHING,
        layers.flag(flags.tls_verify, "--tls-verify"),
        layers.variable("RCFAIL_TLS_VERIFY"),
        layers.kept("tls.verify"),
    )
    if found.value is None:
        return Verify.FULL
    if str(found.value).lower() not in tuple(Verify):
        raise found.fault(f"{found.origin} is none of full, ca and none", f"Write it as {found.origin}=full.")
    return Verify(str(found.value).lower())
