"""The profile: which part a sample counts for, and what the table makes of it."""

from collections import Counter
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from load_tests.bench import peers, profile
from load_tests.bench.__main__ import main
from load_tests.bench.profile import Cost, Samples

KERNEL = "[kernel.kallsyms]"
SENT, RECEIVED = "kernel: send the answer, TCP over loopback", "kernel: receive the request"
SCRIPT = """
\tffffffff81b9aa87 ep_send_events ([kernel.kallsyms])
\tffffffff81733cca __x64_sys_epoll_pwait ([kernel.kallsyms])
\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])
\t          108cae epoll_pwait (/usr/lib/x86_64-linux-gnu/libc.so.6)


\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])
\t          108cae epoll_pwait (/usr/lib/x86_64-linux-gnu/libc.so.6)

\t            7b5e PyBlake2_blake2b_compress.isra.0 (/x/_blake2.cpython-311-x86_64-linux-gnu.so)

\t           1a2b3 [unknown] (/usr/lib/libsomething.so.1)
"""


@pytest.mark.slow
def test_the_profile_takes_turnout_and_nginx_apart(needed: Callable[[str], str]) -> None:
    needed("wrk")
    needed("nginx")
    done = CliRunner().invoke(main, ["profile", "--seconds", "1"])
    assert done.exit_code == 0, done.output
    assert "| Turnout, one worker | " in done.output
    assert f"| {peers.NGINX_204} | " in done.output
    if "only user and kernel time" not in done.output:  # perf is here and may look
        assert "| kernel: send the answer, TCP over loopback | " in done.output
        assert "| Python: interpreter and objects | " in done.output


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([("tcp_ack", KERNEL), ("__x64_sys_write", KERNEL), ("write", "/lib/libc.so.6")], SENT),
        ([("tcp_ack", KERNEL), ("ksys_write", KERNEL), ("do_syscall_64", KERNEL)], SENT),
        ([("tcp_ack", KERNEL), ("do_writev", KERNEL), ("do_syscall_64", KERNEL)], SENT),
        ([("__x64_sys_epoll_pwait", KERNEL)], "kernel: wait for events"),
        ([("__x64_sys_fdatasync", KERNEL)], "kernel: fdatasync"),
        ([("__sys_recvfrom", KERNEL), ("__x64_sys_recvfrom", KERNEL)], RECEIVED),
        ([("do_softirq", KERNEL), ("ksys_read", KERNEL)], RECEIVED),
        ([("asm_sysvec_apic_timer", KERNEL), ("_PyEval_EvalFrameDefault", "libpython3.11.so.1.0")],
         "kernel: entry, interrupts"),
        ([("memcpy", "/usr/lib/x86_64-linux-gnu/libc.so.6")], "C library"),
        ([("_PyEval_EvalFrameDefault", "/opt/lib/libpython3.11.so.1.0")], "Python: interpreter and objects"),
        ([("_PyEval_EvalFrameDefault", "/usr/bin/python3.13")], "Python: interpreter and objects"),
        ([("uv__io_poll", "/x/uvloop/loop.cpython-311-x86_64-linux-gnu.so")], "uvloop: event loop, transports"),
        ([("compress", "/x/python3.11/lib-dynload/_blake2.cpython-311-x86_64-linux-gnu.so")],
         "BLAKE2b: the token's MAC"),
        ([("a2b", "/x/binascii.cpython-311-x86_64-linux-gnu.so")], "base64 of the token"),
        ([("ngx_http_process_request", "/usr/sbin/nginx")], "nginx: HTTP, event loop"),
        ([("now", "[vdso]")], "other: [vdso]"),
    ],
)  # fmt: skip
def test_a_sample_counts_for_the_call_it_is_in_or_the_library_it_is_in(stack: list[tuple[str, str]], part: str) -> None:
    assert profile.part_of(stack) == part


def test_every_sample_of_a_script_is_counted_once() -> None:
    found = profile.counted("Turnout", SCRIPT)
    assert found.parts == {
        "kernel: wait for events": 1,
        "kernel: entry, interrupts": 1,
        "BLAKE2b: the token's MAC": 1,
        "other: libsomething.so.1": 1,
    }
    assert found.symbols["ep_send_events", "kernel.kallsyms"] == 1
    assert profile.counted("Turnout", "").parts.total() == 0


def test_the_parts_add_up_to_the_cpu_that_was_measured() -> None:
    costs = [Cost("Turnout", 4.0, 6.0, 100), Cost("nginx", 1.0, 4.0, 200)]
    sampled = [
        Samples(
            "Turnout", Counter({"kernel: write": 600, "Python": 398, "rare": 2}), Counter({("tcp_ack", "kernel"): 600})
        ),
        Samples("nginx", Counter({"kernel: write": 800, "nginx": 196, "seldom": 3, "rare": 1}), Counter()),
    ]
    assert profile.parts_table(costs, sampled).splitlines() == [
        "| part | Turnout | share | nginx | share |",
        "|---|---|---|---|---|",
        "| kernel: write | 6.00 µs | 60.0% | 4.00 µs | 80.0% |",
        "| Python | 3.98 µs | 39.8% |  |  |",
        "| nginx |  |  | 0.98 µs | 19.6% |",
        "| everything smaller | 0.02 µs | 0.2% | 0.02 µs | 0.4% |",
        "| together | 10.00 µs | 100% | 5.00 µs | 100% |",
    ]
    assert "| Turnout | 4.00 µs | 6.00 µs | 10.00 µs | 100 |" in profile.costs_table(costs)
    assert "| `tcp_ack` | kernel | 60.0% |" in profile.symbols_table(sampled[0])
