"""What the cluster changes in the machine's network and kernel settings, and how it is put back.

A bridge of its own carries the pods; all that listens does so on the bridge's address or on the loopback, and pods have
no way out of the machine.
"""

import json
import os
import re
import subprocess
from pathlib import Path

BRIDGE = "momalisa0"
GATEWAY = "10.123.0.1"
PODS = "10.123.0.0/16"
SERVICES = "10.124.0.0/16"
KUBERNETES_SERVICE = "10.124.0.1"

# What kubelet, kube-proxy and pods need or set.
_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    "net/ipv4/vs/conntrack",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_TABLES = ("filter", "nat", "mangle")
_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def set_up(notes: Path) -> None:
    """Makes the bridge, and remembers in the file `notes` the kernel's settings as they were."""
    if not notes.exists():
        paths = (Path("/proc/sys") / name for name in _SETTINGS)
        notes.write_text(json.dumps({str(path): path.read_text().strip() for path in paths if path.exists()}))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")


def tear_down(notes: Path) -> None:
    """Takes away the bridge and kube-proxy's rules, and sets the kernel as it was."""
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        _run("ip", "link", "delete", BRIDGE)
    for program in ("iptables", "ip6tables"):
        for table in _TABLES:
            _remove_kubernetes_rules(program, table)
    if notes.exists():
        for path, value in json.loads(notes.read_text()).items():
            if Path(path).read_text().strip() != value:
                Path(path).write_text(value)
        notes.unlink()


def traces() -> list[str]:
    """What of it can still be seen."""
    found = [f"bridge {BRIDGE}"] if Path(f"/sys/class/net/{BRIDGE}").exists() else []
    rules = _run("iptables-save") + _run("ip6tables-save")
    return found + sorted({f"iptables {chain}" for chain in re.findall(r"^:(KUBE-\S+)", rules, re.MULTILINE)})


def _remove_kubernetes_rules(program: str, table: str) -> None:
    """The chains that kube-proxy and kubelet made, and the jumps to them from the kernel's own."""
    lines = _run(f"{program}-save", "-t", table).splitlines()
    chains = [line[1:].split()[0] for line in lines if line.startswith(":KUBE-")]
    if not chains:
        return
    jumps = [line for line in lines if re.match(r"-A (?!KUBE-)", line) and re.search(r"-j KUBE-", line)]
    orders = [f"-F {chain}" for chain in chains] + [f"-D {jump[3:]}" for jump in jumps]
    orders += [f"-X {chain}" for chain in chains]
    _run(f"{program}-restore", "--noflush", given="\n".join([f"*{table}", *orders, "COMMIT", ""]))


def _run(*command: str, given: str | None = None) -> str:
    environment = os.environ | {"PATH": _PATH}
    done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=True)
    return done.stdout
